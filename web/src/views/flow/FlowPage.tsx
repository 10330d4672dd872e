import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { Activity, History, Play, Save } from 'lucide-react';
import { useState } from 'react';

import { flowQuery, type Flow } from '~/api/flows';
import { useMay } from '~/api/session';
import { Editor } from '~/editor/Editor';
import { linesOf } from '~/run/lines';
import { Button, buttonClass } from '~/ui/Button';
import { Dialog, DialogActions } from '~/ui/Dialog';
import frame from '~/ui/Frame.module.css';
import { ErrorNote, Skeleton, WarnNote } from '~/ui/Notes';
import { NotLoaded } from '~/ui/NotLoaded';
import { Page } from '~/ui/Page';
import { Badge, Status } from '~/ui/Status';
import { Revisions } from '~/views/flow/Revisions';
import { useDraft } from '~/views/flow/useDraft';
import { RunFlow } from '~/views/flows/RunFlow';

import styles from './FlowPage.module.css';

const route = getRouteApi('/flows/$flowId');

/** One flow: its canvas and document, its revisions, and the way to run it. */
export function FlowPage() {
  const { flowId } = route.useParams();
  const flow = useQuery(flowQuery(flowId));
  if (flow.isPending) {
    return (
      <Page title="Flow">
        <Skeleton lines={10} />
      </Page>
    );
  }
  if (flow.isError && !flow.data) {
    return (
      <Page title="Flow">
        <NotLoaded error={flow.error} what="flow" list="/flows" onRetry={() => void flow.refetch()} />
      </Page>
    );
  }
  return <Loaded key={flowId} flow={flow.data} onRefresh={() => flow.refetch().then(({ data }) => data)} />;
}

interface LoadedProps {
  flow: Flow;
  onRefresh: () => Promise<Flow | undefined>;
}

function Loaded({ flow, onRefresh }: LoadedProps) {
  const mayWrite = useMay('flows:write');
  const mayRun = useMay('runs:write');
  const draft = useDraft(flow);
  const { node, below = 0 } = route.useSearch();
  const [began] = useState(() => (node === undefined ? undefined : linesOf(draft.text).get(node)));
  const [shown, setShown] = useState<'revisions' | 'run' | null>(null);
  // The editor begins anew with a document that did not come from it.
  const [begun, setBegun] = useState({ number: 0, document: flow.document });
  const restore = (document: string) => {
    draft.restore(document);
    setBegun(({ number }) => ({ number: number + 1, document }));
    setShown(null);
  };
  const saveOver = async () => {
    const newest = await onRefresh();
    if (newest) draft.saveOver(newest.revision);
  };
  return (
    <div className={frame.page}>
      <header className={frame.head}>
        <div className={`${frame.line ?? ''} ${frame.what ?? ''}`}>
          <h1>{flow.name}</h1>
          <Status status={flow.status} />
          <span className="muted">revision {draft.base.revision}</span>
          {draft.dirty && <Badge tone="warn">not saved</Badge>}
        </div>
        <div className={frame.actions}>
          <Link to="/runs" search={{ flow: flow.id }} className={buttonClass()}>
            <Activity aria-hidden />
            Runs
          </Link>
          <Button onClick={() => setShown('revisions')}>
            <History aria-hidden />
            Revisions
          </Button>
          {mayWrite && (
            <Button disabled={!draft.dirty} busy={draft.saving} onClick={draft.save} title="Ctrl+S">
              <Save aria-hidden />
              Save
            </Button>
          )}
          {mayRun && (
            <Button
              look="primary"
              disabled={flow.status === 'archived' || (draft.dirty && !mayWrite)}
              busy={draft.saving}
              onClick={() => (draft.dirty ? draft.saveThen(() => setShown('run')) : setShown('run'))}
            >
              <Play aria-hidden />
              {draft.dirty ? 'Save and run' : 'Run'}
            </Button>
          )}
        </div>
      </header>
      <div className={frame.notes}>
        {node !== undefined && began === undefined && (
          <WarnNote>The flow has no node {node} any more.</WarnNote>
        )}
        {draft.lost ? (
          <WarnNote>
            <p>Somebody else has saved this flow since you opened it. Your changes are still here.</p>
            <span className={frame.actions}>
              <Button small onClick={() => setShown('revisions')}>
                Look at their revision
              </Button>
              <Button small look="danger" onClick={saveOver}>
                Save mine as the newest
              </Button>
            </span>
          </WarnNote>
        ) : (
          draft.error !== null && <ErrorNote error={draft.error} />
        )}
      </div>
      <div className={styles.body}>
        <Editor
          key={begun.number}
          flow={flow.id}
          initial={begun.document}
          line={began === undefined || begun.number > 0 ? null : began + below}
          text={draft.text}
          readOnly={!mayWrite}
          onChange={draft.setText}
          onSave={draft.save}
        />
      </div>
      <RunFlow flow={flow} open={shown === 'run'} onClose={() => setShown(null)} />
      <Dialog title="Revisions" open={shown === 'revisions'} onClose={() => setShown(null)} wide>
        <Revisions flow={flow} onRestore={mayWrite ? restore : null} />
      </Dialog>
      <Leaving blocker={draft.blocker} />
    </div>
  );
}

/** Asks before what was written is lost. */
function Leaving({ blocker }: { blocker: ReturnType<typeof useDraft>['blocker'] }) {
  if (blocker.status !== 'blocked') return null;
  return (
    <Dialog
      title="Leave without saving?"
      description="What you have changed would be lost."
      open
      onClose={blocker.reset}
    >
      <DialogActions>
        <Button onClick={blocker.reset}>Stay</Button>
        <Button look="danger" onClick={blocker.proceed}>
          Leave
        </Button>
      </DialogActions>
    </Dialog>
  );
}
