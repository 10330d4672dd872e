import { queryOptions, useQuery } from '@tanstack/react-query';
import { MousePointerClick, RotateCcw } from 'lucide-react';
import { useMemo } from 'react';

import { api, data } from '~/api/client';
import { duration, exactly } from '~/lib/times';
import type { Cause } from '~/run/causes';
import type { Choice } from '~/run/choice';
import type { Attempt, Story } from '~/run/story';
import { Button } from '~/ui/Button';
import { Empty, ErrorNote, Skeleton } from '~/ui/Notes';
import { Status } from '~/ui/Status';
import { Answer } from '~/views/run/Answer';
import { Child } from '~/views/run/Child';
import { Failure } from '~/views/run/Failure';
import { Part } from '~/views/run/Part';

import styles from './Inspector.module.css';

const MANY = 200;

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

/** What is known of a node from the flow as the run has it. */
export interface NodeFacts {
  type: string | null;
  line: number | null;
}

interface Props {
  run: string;
  /** The id of its flow; null where there is no page of it. */
  flow: string | null;
  story: Story;
  causes: ReadonlyMap<string, Cause>;
  choice: Choice;
  factsOf: (node: string) => NodeFacts;
  /** The flow as the run has it. */
  document: string | null;
  /** Asks to go on from a node; null where that cannot be. */
  onRedrive: ((node: string) => void) | null;
}

/** Everything about one step: what it was given, what it gave, why it failed, and its other attempts. */
export function Inspector({ run, flow, story, causes, choice, factsOf, document, onRedrive }: Props) {
  const { node, selected } = choice;
  if (node === null) {
    return (
      <Empty icon={MousePointerClick} title="Choose a step">
        On the canvas or in the timeline, to see what it was given and what came of it.
      </Empty>
    );
  }
  return (
    <div className={styles.inspector}>
      <Which story={story} node={node} choice={choice} />
      {selected === null ? (
        <>
          <header className={styles.head}>
            <h2>{node}</h2>
          </header>
          <p className="muted">The run has not come to {node}.</p>
        </>
      ) : (
        <Step
          key={selected.key}
          run={run}
          flow={flow}
          attempt={selected}
          readyAt={causes.get(selected.key)?.readyAt ?? selected.scheduledAt}
          facts={factsOf(selected.node)}
          document={document}
          onRedrive={onRedrive}
        />
      )}
    </div>
  );
}

/** The steps of a node and their attempts, where there are several: those that failed come first among many. */
function Which({ story, node, choice }: { story: Story; node: string; choice: Choice }) {
  const attempts = useMemo(() => {
    const own = [...story.attempts.values()].filter((one) => one.node === node);
    if (own.length <= MANY) return own;
    const failed = (one: Attempt) => one.status === 'failed';
    return [...own.filter(failed), ...own.filter((one) => !failed(one))];
  }, [story, node]);
  const { selected } = choice;
  if (attempts.length <= 1) return null;
  return (
    <label className={styles.which}>
      <span className="visually-hidden">Step</span>
      <select
        value={selected?.key ?? ''}
        onChange={(event) => {
          const next = story.attempts.get(event.target.value);
          if (next) choice.chooseAttempt(next);
        }}
      >
        {attempts.slice(0, MANY).map((one) => (
          <option key={one.key} value={one.key}>
            {labelOf(one)}
          </option>
        ))}
        {selected && attempts.indexOf(selected) >= MANY && (
          <option value={selected.key}>{labelOf(selected)}</option>
        )}
      </select>
      {attempts.length > MANY && (
        <span className="muted">{(attempts.length - MANY).toLocaleString('en')} more in the timeline</span>
      )}
    </label>
  );
}

function labelOf(one: Attempt): string {
  return `${one.step}${one.attempt > 1 ? `, try ${one.attempt}` : ''}: ${one.status}`;
}

interface StepProps {
  run: string;
  flow: string | null;
  attempt: Attempt;
  readyAt: number;
  facts: NodeFacts;
  document: string | null;
  onRedrive: ((node: string) => void) | null;
}

function Step({ run, flow, attempt, readyAt, facts, document, onRedrive }: StepProps) {
  const step = useQuery(stepQuery(run, attempt));
  const { line } = facts;
  return (
    <>
      <header className={styles.head}>
        <h2>{attempt.step}</h2>
        <Status status={attempt.status} />
        {line !== null && <span className="muted">line {line} of the flow</span>}
        {onRedrive && (
          <Button small className={styles.from ?? ''} onClick={() => onRedrive(attempt.node)}>
            <RotateCcw aria-hidden />
            Redrive from here
          </Button>
        )}
      </header>
      <Times attempt={attempt} readyAt={readyAt} />
      {step.isPending && <Skeleton />}
      {step.isError && <ErrorNote error={step.error} onRetry={() => void step.refetch()} />}
      {step.data && (
        <>
          {step.data.status === 'waiting' && (
            <Answer run={run} step={attempt.step} wait={step.data.wait ?? null} />
          )}
          <Child step={step.data} type={facts.type} />
          {step.data.error && (
            <Failure
              error={step.data.error}
              line={line}
              document={document}
              at={flow === null ? null : { flow, node: attempt.node }}
            />
          )}
          {step.data.cached && <p className="muted">The output was kept from an earlier execution.</p>}
          {step.data.fallback && <p className="muted">Every attempt failed; this is the fallback.</p>}
          {step.data.action !== null && step.data.action !== 'default' && (
            <p>
              Went along <code>{step.data.action}</code>
            </p>
          )}
          {hasOutput(attempt, step.data.output, step.data.lost) && (
            <Part title="Output" value={step.data.output} lost={step.data.lost.includes('output')} />
          )}
          <Part title="Input" value={step.data.input} lost={step.data.lost.includes('input')} />
          {Object.keys(step.data.vars).length > 0 && <Part title="Vars written" value={step.data.vars} />}
          <LostVars lost={step.data.lost} />
        </>
      )}
    </>
  );
}

/** What failed gave nothing, unless it did. */
function hasOutput(attempt: Attempt, output: unknown, lost: readonly string[]): boolean {
  if (attempt.endedAt === null) return false;
  return attempt.status === 'succeeded' || output !== null || lost.includes('output');
}

function LostVars({ lost }: { lost: readonly string[] }) {
  const vars = lost.filter((name) => name.startsWith('vars.'));
  if (vars.length === 0) return null;
  return <p className="muted">Lost, the store does not have it any more: {vars.join(', ')}.</p>;
}

function Times({ attempt, readyAt }: { attempt: Attempt; readyAt: number }) {
  const { startedAt, waitingAt, endedAt, retryAt } = attempt;
  const known: [string, string | null][] = [
    ['Began', startedAt === null ? 'not yet' : exactly(new Date(startedAt))],
    ['Queued for', startedAt === null ? null : duration(startedAt - readyAt)],
    ['Took', startedAt === null || endedAt === null ? null : duration(endedAt - startedAt)],
    ['Of that, waited', waitingAt === null || endedAt === null ? null : duration(endedAt - waitingAt)],
    ['Next try after', endedAt === null || retryAt === null ? null : duration(retryAt - endedAt)],
  ];
  return (
    <dl className={styles.times}>
      {known
        .filter(([, value]) => value !== null)
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}
