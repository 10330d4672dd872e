import { useState } from 'react';

import { api, data } from '~/api/client';
import { useAction } from '~/lib/useAction';
import { Dialog } from '~/ui/Dialog';
import { Field, Select, TextArea } from '~/ui/Field';
import { DialogForm } from '~/ui/Form';
import { useSay } from '~/ui/Toasts';

const FORMATS = [
  { value: 'dotenv', label: 'dotenv: KEY=value' },
  { value: 'json', label: 'JSON: {"KEY": "value"}' },
] as const;

/** Stores many secrets at once: all of them, or none when one is wrong. */
export function ImportSecrets({ onClose }: { onClose: () => void }) {
  const say = useSay();
  const [format, setFormat] = useState<'dotenv' | 'json'>('dotenv');
  const [text, setText] = useState('');
  const load = useAction(
    ['secrets'],
    async () => data(await api.POST('/v1/secrets/import', { body: { format, text } })),
    (done) => {
      say(`${done.created.length} new, ${done.updated.length} replaced.`);
      onClose();
    },
  );
  const read = async (file: File | undefined) => {
    if (file === undefined) return;
    setText(await file.text());
    setFormat(file.name.endsWith('.json') ? 'json' : 'dotenv');
  };
  return (
    <Dialog title="Import secrets" open onClose={onClose} wide>
      <DialogForm action="Import" act={load} onCancel={onClose}>
        <Select
          label="Format"
          value={format}
          choices={FORMATS}
          onChange={(event) => setFormat(event.target.value === 'json' ? 'json' : 'dotenv')}
        />
        <Field label="From a file" hint="Or write them below.">
          {(wiring) => (
            <input
              {...wiring}
              type="file"
              accept=".env,.json,.txt"
              onChange={(event) => void read(event.target.files?.[0])}
            />
          )}
        </Field>
        <TextArea
          label="Secrets"
          rows={10}
          required
          spellCheck={false}
          autoComplete="off"
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
      </DialogForm>
    </Dialog>
  );
}
