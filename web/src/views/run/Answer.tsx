import { Check, Send, X } from 'lucide-react';
import { useState } from 'react';

import { api, type Schemas } from '~/api/client';
import { useMay } from '~/api/session';
import { exactly } from '~/lib/times';
import { useAction } from '~/lib/useAction';
import { Button } from '~/ui/Button';
import { TextArea, TextField } from '~/ui/Field';
import { ErrorNote } from '~/ui/Notes';

import styles from './Inspector.module.css';

interface Props {
  run: string;
  step: string;
  wait: Schemas['StepWait'] | null;
}

function messageOf(data: unknown): string | null {
  const message =
    typeof data === 'object' && data !== null ? (data as Record<string, unknown>).message : null;
  return typeof message === 'string' ? message : null;
}

/** What a step waits for, and the way to answer it: an approval's decision, or a value for a callback. */
export function Answer({ run, step, wait }: Props) {
  const mayAnswer = useMay('runs:write');
  const question = messageOf(wait?.data);
  const signal = useAction(['runs', run], (payload: unknown) =>
    api.POST('/v1/runs/{run_id}/steps/{step_id}/signal', {
      params: { path: { run_id: run, step_id: step } },
      body: { payload: payload as never },
    }),
  );
  if (wait?.run) return null;
  return (
    <section className={styles.answer} aria-label="Answer">
      {question !== null && <b>{question}</b>}
      {wait?.until && <p className="muted">Until {exactly(wait.until)}</p>}
      {wait?.data !== null && wait?.data !== undefined && mayAnswer && (
        <>
          {question === null ? (
            <Payload busy={signal.isPending} onSend={signal.mutate} />
          ) : (
            <Decision busy={signal.isPending} onDecide={signal.mutate} />
          )}
        </>
      )}
      {signal.isError && <ErrorNote error={signal.error} />}
    </section>
  );
}

function Decision({ busy, onDecide }: { busy: boolean; onDecide: (payload: unknown) => void }) {
  const [comment, setComment] = useState('');
  const decide = (approved: boolean) => onDecide({ approved, ...(comment && { comment }) });
  return (
    <>
      <TextField label="Comment" value={comment} onChange={(event) => setComment(event.target.value)} />
      <div className={styles.buttons}>
        <Button look="primary" busy={busy} onClick={() => decide(true)}>
          <Check aria-hidden />
          Approve
        </Button>
        <Button look="danger" busy={busy} onClick={() => decide(false)}>
          <X aria-hidden />
          Reject
        </Button>
      </div>
    </>
  );
}

function Payload({ busy, onSend }: { busy: boolean; onSend: (payload: unknown) => void }) {
  const [text, setText] = useState('{}');
  const [problem, setProblem] = useState<string | null>(null);
  const send = () => {
    try {
      onSend(JSON.parse(text));
      setProblem(null);
    } catch {
      setProblem('This is not valid JSON.');
    }
  };
  return (
    <>
      <TextArea
        label="Answer (JSON)"
        error={problem}
        spellCheck={false}
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
      <div className={styles.buttons}>
        <Button look="primary" busy={busy} onClick={send}>
          <Send aria-hidden />
          Answer
        </Button>
      </div>
    </>
  );
}
