import { useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import { useEffect, useMemo, useState } from 'react';

import { api, data } from '~/api/client';
import { isLive, runQuery, type Run } from '~/api/runs';
import { useMay } from '~/api/session';
import { EMPTY_GRAPH, graphOf } from '~/graph/model';
import { RunCanvas } from '~/graph/RunCanvas';
import { causesOf } from '~/run/causes';
import { useChoice } from '~/run/choice';
import { linesOf } from '~/run/lines';
import { nodeStates, takenEdges } from '~/run/shape';
import { toldUntil, type Story } from '~/run/story';
import { useStory, type Followed } from '~/run/useStory';
import frame from '~/ui/Frame.module.css';
import { Skeleton } from '~/ui/Notes';
import { NotLoaded } from '~/ui/NotLoaded';
import { Page } from '~/ui/Page';
import { Tabs } from '~/ui/Tabs';
import { Console } from '~/views/run/Console';
import { Inspector } from '~/views/run/Inspector';
import { Notes } from '~/views/run/Notes';
import { Part } from '~/views/run/Part';
import { Redrive } from '~/views/run/Redrive';
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
        <NotLoaded error={run.error} what="run" list="/runs" onRetry={() => void run.refetch()} />
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

/** The flow as the run has it. */
function useDocument(run: Run) {
  return useQuery({
    queryKey: ['flows', 'of run', run.id, run.flow.revision],
    queryFn: async ({ signal }) =>
      data(await api.GET('/v1/runs/{run_id}/flow', { params: { path: { run_id: run.id } }, signal })),
    staleTime: Infinity,
  });
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
  const document = useDocument(run);
  const text = document.data?.document;
  const graph = useMemo(() => (text === undefined ? EMPTY_GRAPH : (graphOf(text) ?? EMPTY_GRAPH)), [text]);
  const lines = useMemo(() => (text === undefined ? new Map<string, number>() : linesOf(text)), [text]);
  const states = useMemo(() => nodeStates(story), [story]);
  const taken = useMemo(() => takenEdges(graph, story), [graph, story]);
  const causes = useMemo(() => causesOf(graph, story), [graph, story]);
  const choice = useShownStep(run, whole, story);
  const mayWrite = useMay('runs:write');
  const [redriven, setRedriven] = useState<{ from: string | null } | null>(null);
  const live = isLive(run.status);
  const end = run.ended_at === null ? null : Date.parse(run.ended_at);
  return (
    <div className={frame.page}>
      <RunHead
        run={run}
        inline={document.data?.inline ?? false}
        onRedrive={() => setRedriven({ from: null })}
      />
      <div>
        <Notes run={run} away={away} undrawn={document.isError} />
        {!live && run.started_at && end !== null && end > Date.parse(run.started_at) && (
          // From the run itself, which is here: what came later would push the canvas away under a click.
          <Scrubber from={Date.parse(run.started_at)} to={end} moment={moment} onChange={setMoment} />
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
                    replay={moment === null ? null : { moment, end: end ?? moment }}
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
            flow={document.data?.inline === false ? run.flow.id : null}
            story={story}
            causes={causes}
            choice={choice}
            factsOf={(node) => ({
              type: graph.nodes.find(({ id }) => id === node)?.type ?? null,
              line: lines.get(node) ?? null,
            })}
            document={text ?? null}
            onRedrive={mayWrite && !live ? (from) => setRedriven({ from }) : null}
          />
        </aside>
      </div>
      {redriven && (
        <Redrive
          run={run}
          nodes={[...states.keys()]}
          from={redriven.from}
          onClose={() => setRedriven(null)}
          onRedriven={onAgain}
        />
      )}
    </div>
  );
}

/** The step that is looked at, which the address names. */
function useShownStep(run: Run, whole: Story, story: Story) {
  const { step } = route.useSearch();
  const navigate = route.useNavigate();
  const say = (next?: string) => void navigate({ search: { step: next }, replace: true, resetScroll: false });
  return useChoice({ run, whole, story, step, say });
}

function ConsoleTab({ story }: { story: Story }) {
  const [node, setNode] = useState<string | null>(null);
  return <Console lines={story.lines} node={node} onNode={setNode} />;
}

function Whole({ run }: { run: Run }) {
  return (
    <div className={styles.whole}>
      {(run.status === 'completed' || run.output !== null || run.lost.includes('output')) && (
        <Part title="Output" value={run.output} lost={run.lost.includes('output')} />
      )}
      <Part title="Input" value={run.input} lost={run.lost.includes('input')} />
    </div>
  );
}
