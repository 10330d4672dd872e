import { useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import { useEffect, useMemo, useState } from 'react';
import { parseDocument, LineCounter, isMap, isScalar } from 'yaml';

import { api, data } from '~/api/client';
import { isLive, runQuery, type Run } from '~/api/runs';
import { EMPTY_GRAPH, graphOf } from '~/graph/model';
import { RunCanvas } from '~/graph/RunCanvas';
import { causesOf } from '~/run/causes';
import { nodeStates, takenEdges } from '~/run/shape';
import { toldUntil, type Attempt, type Story } from '~/run/story';
import { useStory, type Followed } from '~/run/useStory';
import frame from '~/ui/Frame.module.css';
import { Json } from '~/ui/Json';
import { ErrorNote, Skeleton, WarnNote } from '~/ui/Notes';
import { Page } from '~/ui/Page';
import { Tabs } from '~/ui/Tabs';
import { Console } from '~/views/run/Console';
import { Inspector } from '~/views/run/Inspector';
import { RunHead } from '~/views/run/RunHead';
import { Scrubber } from '~/views/run/Scrubber';
import { Timeline } from '~/views/run/Timeline';

import styles from './RunPage.module.css';

const route = getRouteApi('/runs/$runId');

/** One run: as it unfolds, and for ever after. */
export function RunPage() {
  const { runId } = route.useParams();
  const run = useQuery({ ...runQuery(runId), placeholderData: (before) => before });
  const [again, setAgain] = useState(0);
  // Asked for together with the run, so that neither waits for the other.
  const followed = useStory(runId, again);
  const ended = followed.story.endedAt !== null;
  const live = run.data !== undefined && isLive(run.data.status);
  const { refetch } = run;
  useEffect(() => {
    // The run may have been read before it ended, and its story after.
    if (ended && live) void refetch();
  }, [ended, live, refetch]);
  useEffect(() => {
    document.title = `${run.data?.flow.name ?? 'Run'} · flowrunner`;
  }, [run.data?.flow.name]);
  if (run.isPending) return <Waiting />;
  if (run.isError && !run.data) {
    return (
      <Page title="Run">
        <ErrorNote error={run.error} onRetry={() => void run.refetch()} />
      </Page>
    );
  }
  return (
    <Shown
      key={`${runId}:${String(again)}`}
      run={run.data}
      followed={followed}
      away={run.isError || run.fetchStatus === 'paused'}
      onAgain={() => setAgain(again + 1)}
    />
  );
}

function Waiting() {
  return (
    <Page title="Run">
      <Skeleton lines={10} />
    </Page>
  );
}

function useDocument(flow: string, revision: number) {
  return useQuery({
    queryKey: ['flows', flow, 'revisions', revision],
    queryFn: async ({ signal }) =>
      data(
        await api.GET('/v1/flows/{flow_id}/revisions/{revision}', {
          params: { path: { flow_id: flow, revision } },
          signal,
        }),
      ),
    staleTime: Infinity,
  });
}

/** The line at which a node stands in a document. */
function linesOf(document: string): ReadonlyMap<string, number> {
  const counter = new LineCounter();
  const nodes = parseDocument(document, { lineCounter: counter }).get('nodes', true);
  const lines = new Map<string, number>();
  if (!isMap(nodes)) return lines;
  for (const { key } of nodes.items) {
    if (isScalar(key) && key.range) lines.set(String(key.value), counter.linePos(key.range[0]).line);
  }
  return lines;
}

function useChoice(story: Story) {
  const [node, setNode] = useState<string | null>(null);
  const [key, setKey] = useState<string | null>(null);
  const latest = useMemo(
    () => [...story.attempts.values()].findLast((one) => one.node === node),
    [story, node],
  );
  const selected = (key !== null ? story.attempts.get(key) : undefined) ?? latest ?? null;
  return {
    node: selected?.node ?? node,
    selected,
    chooseNode: (next: string | null) => {
      setNode(next);
      setKey(null);
    },
    chooseAttempt: (attempt: Attempt) => {
      setNode(attempt.node);
      setKey(attempt.key);
    },
  };
}

interface ShownProps {
  run: Run;
  followed: Followed;
  /** The server cannot be reached, or gives no answer. */
  away: boolean;
  onAgain: () => void;
}

function Shown({ run, followed, away, onAgain }: ShownProps) {
  const { story: whole, loaded } = followed;
  const [moment, setMoment] = useState<number | null>(null);
  const story = useMemo(() => (moment === null ? whole : toldUntil(whole, moment)), [whole, moment]);
  const document = useDocument(run.flow.id, run.flow.revision);
  const text = document.data?.document;
  const graph = useMemo(() => (text === undefined ? EMPTY_GRAPH : (graphOf(text) ?? EMPTY_GRAPH)), [text]);
  const lines = useMemo(() => (text === undefined ? new Map<string, number>() : linesOf(text)), [text]);
  const states = useMemo(() => nodeStates(story), [story]);
  const taken = useMemo(() => takenEdges(graph, story), [graph, story]);
  const causes = useMemo(() => causesOf(graph, story), [graph, story]);
  const choice = useChoice(story);
  const live = isLive(run.status);
  return (
    <div className={frame.page}>
      <RunHead run={run} node={choice.node} onRedriven={onAgain} />
      <div>
        <div className={frame.notes}>
          {run.error && <ErrorNote error={new Error(failure(run.error))} />}
          {away && <WarnNote>The connection is lost. It is being made again; nothing is missed.</WarnNote>}
          {document.isError && <WarnNote>The flow of this run is gone, so its drawing is, too.</WarnNote>}
        </div>
        {!live && run.started_at && run.ended_at && run.ended_at > run.started_at && (
          // From the run itself, which is here: what came later would push the canvas away under a click.
          <Scrubber
            from={Date.parse(run.started_at)}
            to={Date.parse(run.ended_at)}
            moment={moment}
            onChange={setMoment}
          />
        )}
      </div>
      <div className={styles.body}>
        <section className={styles.canvas} aria-label="Canvas">
          <RunCanvas
            graph={graph}
            states={states}
            taken={taken}
            selected={choice.node}
            onSelect={choice.chooseNode}
          />
        </section>
        <section className={styles.below} aria-label="What happened">
          <Tabs
            label="What happened"
            tabs={[
              {
                id: 'timeline',
                label: 'Timeline',
                content: (
                  <Timeline
                    story={story}
                    causes={causes}
                    loading={!loaded}
                    selected={choice.selected?.key ?? null}
                    onSelect={choice.chooseAttempt}
                  />
                ),
              },
              {
                id: 'console',
                label: `Console${story.lines.length ? ` (${story.lines.length.toLocaleString('en')})` : ''}`,
                content: <ConsoleTab story={story} />,
              },
              { id: 'whole', label: 'Input and output', content: <Whole run={run} /> },
            ]}
          />
        </section>
        <aside className={styles.side} aria-label="Step">
          <Inspector
            run={run.id}
            story={story}
            causes={causes}
            node={choice.node}
            selected={choice.selected}
            onSelect={choice.chooseAttempt}
            lineOf={(node) => lines.get(node) ?? null}
            document={text ?? null}
          />
        </aside>
      </div>
    </div>
  );
}

function failure(error: NonNullable<Run['error']>): string {
  return `${error.node ? `${error.node}: ` : ''}${error.message} (${error.code})`;
}

function ConsoleTab({ story }: { story: Story }) {
  const [node, setNode] = useState<string | null>(null);
  return <Console lines={story.lines} node={node} onNode={setNode} />;
}

function Whole({ run }: { run: Run }) {
  return (
    <div className={styles.whole}>
      <h3>Output</h3>
      <Json value={run.output} />
      <h3>Input</h3>
      <Json value={run.input} />
    </div>
  );
}
