import { queryOptions, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { MousePointerClick } from 'lucide-react';
import { useState } from 'react';

import { api, data } from '~/api/client';
import { duration, exactly } from '~/lib/times';
import type { Cause } from '~/run/causes';
import type { Attempt, Story } from '~/run/story';
import { Copy } from '~/ui/Copy';
import { Json } from '~/ui/Json';
import { Empty, ErrorNote, Skeleton } from '~/ui/Notes';
import { Status } from '~/ui/Status';
import { Answer } from '~/views/run/Answer';

import styles from './Inspector.module.css';

const MANY = 200;
/** Lines that are shown on both sides of a wrong one. */
const AROUND = 2;

function stepQuery(run: string, attempt: Attempt) {
  return queryOptions({
    queryKey: ['runs', run, 'steps', attempt.key, attempt.status],
    queryFn: async ({ signal }) =>
      data(
        await api.GET('/v1/runs/{run_id}/steps/{step_id}', {
          params: { path: { run_id: run, step_id: attempt.step }, query: { attempt: attempt.attempt } },
          signal,
        }),
      ),
    placeholderData: (before) => before,
  });
}

interface Props {
  run: string;
  story: Story;
  causes: ReadonlyMap<string, Cause>;
  node: string | null;
  selected: Attempt | null;
  onSelect: (attempt: Attempt) => void;
  /** Shows where in the flow's document a node is. */
  lineOf: (node: string) => number | null;
  /** The flow as the run has it. */
  document: string | null;
}

/** Everything about one step: what it was given, what it gave, why it failed, and its other attempts. */
export function Inspector({ run, story, causes, node, selected, onSelect, lineOf, document }: Props) {
  const attempts = [...story.attempts.values()].filter((one) => one.node === (selected?.node ?? node));
  if (selected === null && node === null) {
    return (
      <Empty icon={MousePointerClick} title="Choose a step">
        On the canvas or in the timeline, to see what it was given and what came of it.
      </Empty>
    );
  }
  return (
    <div className={styles.inspector}>
      {attempts.length > 1 && (
        <label className={styles.which}>
          <span className="visually-hidden">Step</span>
          <select
            value={selected?.key ?? ''}
            onChange={(event) => {
              const next = story.attempts.get(event.target.value);
              if (next) onSelect(next);
            }}
          >
            {attempts.slice(0, MANY).map((one) => (
              <option key={one.key} value={one.key}>
                {one.step}
                {one.attempt > 1 ? `, try ${one.attempt}` : ''}: {one.status}
              </option>
            ))}
            {selected && attempts.indexOf(selected) >= MANY && (
              <option value={selected.key}>{selected.step}</option>
            )}
          </select>
          {attempts.length > MANY && (
            <span className="muted">{attempts.length - MANY} more in the timeline</span>
          )}
        </label>
      )}
      {selected === null ? (
        <p className="muted">The run has not come to {node}.</p>
      ) : (
        <Step
          key={selected.key}
          run={run}
          attempt={selected}
          readyAt={causes.get(selected.key)?.readyAt ?? selected.scheduledAt}
          line={lineOf(selected.node)}
          document={document}
        />
      )}
    </div>
  );
}

interface StepProps {
  run: string;
  attempt: Attempt;
  readyAt: number;
  line: number | null;
  document: string | null;
}

function Step({ run, attempt, readyAt, line, document }: StepProps) {
  const step = useQuery(stepQuery(run, attempt));
  return (
    <>
      <header className={styles.head}>
        <h2>{attempt.step}</h2>
        <Status status={attempt.status} />
        {line !== null && <span className="muted">line {line} of the flow</span>}
      </header>
      <Times attempt={attempt} readyAt={readyAt} />
      {step.isPending && <Skeleton />}
      {step.isError && <ErrorNote error={step.error} onRetry={() => void step.refetch()} />}
      {step.data && (
        <>
          {step.data.status === 'waiting' && (
            <Answer run={run} step={attempt.step} wait={step.data.wait ?? null} />
          )}
          {step.data.wait?.run && (
            <p>
              Waits for{' '}
              <Link to="/runs/$runId" params={{ runId: step.data.wait.run }}>
                the run it has started
              </Link>
              .
            </p>
          )}
          {step.data.error && <Failure error={step.data.error} line={line} document={document} />}
          {step.data.cached && <p className="muted">The output was kept from an earlier execution.</p>}
          {step.data.fallback && <p className="muted">Every attempt failed; this is the fallback.</p>}
          {step.data.action !== null && step.data.action !== 'default' && (
            <p>
              Went along <code>{step.data.action}</code>
            </p>
          )}
          <Part title="Output" value={step.data.output} absent={attempt.endedAt === null} />
          <Part title="Input" value={step.data.input} />
          {Object.keys(step.data.vars).length > 0 && <Part title="Vars written" value={step.data.vars} />}
        </>
      )}
    </>
  );
}

function Times({ attempt, readyAt }: { attempt: Attempt; readyAt: number }) {
  const { startedAt, endedAt } = attempt;
  return (
    <dl className={styles.times}>
      <div>
        <dt>Began</dt>
        <dd>{startedAt === null ? 'not yet' : exactly(new Date(startedAt))}</dd>
      </div>
      <div>
        <dt>Queued for</dt>
        <dd>{startedAt === null ? '' : duration(startedAt - readyAt)}</dd>
      </div>
      <div>
        <dt>Took</dt>
        <dd>{startedAt === null || endedAt === null ? '' : duration(endedAt - startedAt)}</dd>
      </div>
    </dl>
  );
}

interface FailureProps {
  error: Record<string, unknown>;
  line: number | null;
  document: string | null;
}

function Failure({ error, line, document }: FailureProps) {
  const { code, message, details } = error;
  const place = lineOfError(details) ?? line;
  const said = `${typeof code === 'string' ? `${code}: ` : ''}${typeof message === 'string' ? message : 'It failed.'}`;
  return (
    <>
      <ErrorNote error={new Error(said)} />
      {place !== null && document !== null && <Excerpt document={document} line={place} />}
      {details !== undefined && details !== null && <Part title="Details of the error" value={details} />}
    </>
  );
}

/** The line of the flow at which a script or an expression failed, if the error knows it. */
function lineOfError(details: unknown): number | null {
  if (typeof details !== 'object' || details === null) return null;
  const line = (details as Record<string, unknown>).document_line;
  return typeof line === 'number' ? line : null;
}

/** The lines of the flow around the one where it went wrong. */
function Excerpt({ document, line }: { document: string; line: number }) {
  const from = Math.max(1, line - AROUND);
  const lines = document.split('\n').slice(from - 1, line + AROUND);
  // What all of them are indented by says nothing here.
  const indent = Math.min(...lines.filter((text) => text.trim()).map((text) => text.search(/\S/)));
  return (
    <section className={styles.part} aria-label="Where it went wrong">
      <h3>Line {line} of the flow</h3>
      <pre className={styles.excerpt}>
        {lines.map((text, index) => (
          <span key={index} data-wrong={from + index === line}>
            <span className={styles.number}>{from + index}</span>
            {text.slice(indent)}
            {'\n'}
          </span>
        ))}
      </pre>
    </section>
  );
}

function Part({ title, value, absent = false }: { title: string; value: unknown; absent?: boolean }) {
  const [raw, setRaw] = useState(false);
  if (absent) return null;
  return (
    <section className={styles.part}>
      <header>
        <h3>{title}</h3>
        <button type="button" className={styles.raw} onClick={() => setRaw(!raw)}>
          {raw ? 'as a tree' : 'as text'}
        </button>
        <Copy text={JSON.stringify(value, null, 2)} label={`Copy: ${title}`} />
      </header>
      <div className={styles.value}>
        {raw ? <pre>{JSON.stringify(value, null, 2)}</pre> : <Json value={value} />}
      </div>
    </section>
  );
}
