import { useMutation } from '@tanstack/react-query';
import { ShieldCheck } from 'lucide-react';
import { useState } from 'react';

import { api, data, type Schemas } from '~/api/client';
import { Button } from '~/ui/Button';
import { Dialog } from '~/ui/Dialog';
import { TextField } from '~/ui/Field';
import { DialogForm } from '~/ui/Form';
import { Properties } from '~/ui/Properties';
import { Badge } from '~/ui/Status';
import { WithCopy } from '~/ui/WithCopy';

type Verdict = Schemas['AuditVerdict'];

/** Whether a record was changed, removed or moved; with a head that was noted down earlier, also whether all were. */
export function VerifyChain() {
  const [open, setOpen] = useState(false);
  return (
    <>
      <Button onClick={() => setOpen(true)}>
        <ShieldCheck aria-hidden />
        Verify the chain…
      </Button>
      <Dialog title="Verify the chain" open={open} onClose={() => setOpen(false)} wide>
        <Body onClose={() => setOpen(false)} />
      </Dialog>
    </>
  );
}

function Body({ onClose }: { onClose: () => void }) {
  const [head, setHead] = useState('');
  const verify = useMutation({
    mutationFn: async () => {
      const query = readHead(head);
      return data(await api.GET('/v1/audit/verify', { params: { query } }));
    },
  });
  return (
    <DialogForm action="Verify" act={verify} onCancel={onClose}>
      <p className="muted">
        Each record holds the hash of the one before it, so that one which was changed, removed or moved is
        found. Whoever could write all of it anew is found by a head that you keep elsewhere.
      </p>
      <TextField
        label="A head that you noted down"
        hint="If you have one: its count and its hash, as they were copied from here."
        placeholder="120 9f86d081884c7d65…"
        spellCheck={false}
        autoComplete="off"
        value={head}
        onChange={(event) => setHead(event.target.value)}
      />
      {verify.data && <Found verdict={verify.data} />}
    </DialogForm>
  );
}

/** A head as it is copied: `count hash`. Nothing is none. */
function readHead(text: string): { count?: number; hash?: string } {
  if (text.trim() === '') return {};
  const [, count, hash] = /^\s*(\d+)\s+([0-9a-f]{64})\s*$/.exec(text) ?? [];
  if (count === undefined || hash === undefined)
    throw new Error('A head is a number and 64 hexadecimal digits, with a space between them.');
  return { count: Number(count), hash };
}

function Found({ verdict }: { verdict: Verdict }) {
  const { ok, records, head, first_bad: bad, reason } = verdict;
  const noted = `${String(head.count)} ${head.hash}`;
  return (
    <div role="status" style={{ display: 'grid', gap: 10 }}>
      <div>
        <Badge tone={ok ? 'good' : 'bad'}>
          {ok ? `All ${records.toLocaleString('en')} records are whole` : 'The chain is broken'}
        </Badge>
      </div>
      <Properties
        of={{
          'First bad record': !ok && (bad ?? 'not known'),
          Reason: !ok && reason,
          'Good records': !ok && records.toLocaleString('en'),
          Head: (
            <WithCopy text={noted} label="Copy the head">
              <code>{noted}</code>
            </WithCopy>
          ),
        }}
      />
    </div>
  );
}
