import { Plus, X } from 'lucide-react';
import { useState } from 'react';

import type { HookName } from '~/editor/globals';
import { ParamField } from '~/editor/ParamField';
import { field } from '~/editor/schema';
import { Button, IconButton } from '~/ui/Button';

import styles from './Editor.module.css';

const HOOKS: readonly { name: HookName; title: string; hint: string }[] = [
  {
    name: 'prep',
    title: 'Before (prep)',
    hint: 'Fields that it sets in `context`, or returns, become parameters or join the input.',
  },
  {
    name: 'exec',
    title: 'Instead (exec)',
    hint: "In the place of the node's own work: `return` the output.",
  },
  {
    name: 'post',
    title: 'After (post)',
    hint: 'Sees `output` or `error`; may return {output, action}, or an action.',
  },
];
const SCRIPT = { title: 'Script', hint: 'JavaScript: `return` the output.' };

interface Props {
  node: string;
  at: (...path: string[]) => unknown;
  set: (path: readonly string[], value: unknown) => void;
  fault: (...path: string[]) => string | null;
  readOnly: boolean;
  only?: HookName;
  but?: string;
}

/** The hooks of a node: JavaScript before, instead of and after its work. */
export function HookFields({ node, at, set, fault, readOnly, only, but }: Props) {
  // One that was asked for is shown before anything is written.
  const [asked, setAsked] = useState<ReadonlySet<HookName>>(new Set(only ? [only] : []));
  const hooks = HOOKS.filter(({ name }) => (only ? name === only : name !== but));
  const there = (name: HookName) => typeof at('hooks', name) === 'string' || asked.has(name);
  const fields = hooks.filter(({ name }) => there(name));
  const absent = hooks.filter(({ name }) => !there(name));
  const close = (name: HookName) => {
    set(['hooks', name], undefined);
    setAsked(new Set([...asked].filter((one) => one !== name)));
  };
  return (
    <>
      {fields.map(({ name, title, hint }) => (
        <div key={`${node}.${name}`} className={styles.hook}>
          <ParamField
            field={field(name, only ? SCRIPT.title : title, only ? SCRIPT.hint : hint, 'lines')}
            value={at('hooks', name)}
            readOnly={readOnly}
            fault={fault('hooks', name)}
            script={name}
            onChange={(value) => set(['hooks', name], value)}
          />
          {!only && !readOnly && (
            <IconButton small label={`Remove the ${name} hook`} onClick={() => close(name)}>
              <X aria-hidden />
            </IconButton>
          )}
        </div>
      ))}
      {!only && !readOnly && absent.length > 0 && (
        <div className={styles.hookButtons} role="group" aria-label="Add a hook">
          <span className="muted">JavaScript</span>
          {absent.map(({ name, title }) => (
            <Button key={name} small onClick={() => setAsked(new Set([...asked, name]))}>
              <Plus aria-hidden />
              {title}
            </Button>
          ))}
        </div>
      )}
    </>
  );
}
