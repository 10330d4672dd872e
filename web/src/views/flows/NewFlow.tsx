import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { FileUp } from 'lucide-react';
import { useRef } from 'react';

import { ApiError } from '~/api/client';
import { createFlow } from '~/api/flows';
import { Button } from '~/ui/Button';
import { Dialog, DialogActions } from '~/ui/Dialog';
import { ErrorNote } from '~/ui/Notes';
import { renamed, TEMPLATES, type Template } from '~/views/flows/templates';

import styles from './FlowsPage.module.css';

const MAX_FILE = 256 * 1024;
const OTHER_NAMES = 20;

/** Makes a flow from a template or a file, and goes to it. */
export function NewFlow({ open, onClose }: { open: boolean; onClose: () => void }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const file = useRef<HTMLInputElement>(null);
  const make = useMutation({
    mutationFn: (wish: () => ReturnType<typeof createFlow>) => wish(),
    onSuccess: async (flow) => {
      await queries.invalidateQueries({ queryKey: ['flows'] });
      onClose();
      await navigate({ to: '/flows/$flowId', params: { flowId: flow.id } });
    },
  });
  const close = () => {
    make.reset();
    onClose();
  };
  return (
    <Dialog title="New flow" open={open} onClose={close} wide>
      <div className={styles.templates}>
        {TEMPLATES.map((template) => (
          <button
            key={template.name}
            type="button"
            className={styles.template}
            disabled={make.isPending}
            onClick={() => make.mutate(() => fromTemplate(template))}
          >
            <h3>{template.name}</h3>
            <span className="muted">{template.about}</span>
          </button>
        ))}
      </div>
      {make.isError && <ErrorNote error={make.error} />}
      <DialogActions>
        <input
          ref={file}
          type="file"
          accept=".yaml,.yml,.json"
          hidden
          onChange={(event) => {
            const chosen = event.target.files?.[0];
            if (chosen) make.mutate(() => fromFile(chosen));
            event.target.value = '';
          }}
        />
        <Button onClick={() => file.current?.click()} busy={make.isPending}>
          <FileUp aria-hidden />
          Import a file…
        </Button>
      </DialogActions>
    </Dialog>
  );
}

/** A template's flow; under the next free name if there is one of that name. */
async function fromTemplate(template: Template) {
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? template.name : `${template.name}-${number}`;
    try {
      return await createFlow(renamed(template.document, name));
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 409 || number >= OTHER_NAMES) throw error;
    }
  }
}

async function fromFile(file: File) {
  if (file.size > MAX_FILE) throw new Error(`${file.name} is too large for a flow: at most 256 KiB.`);
  return createFlow(await file.text());
}
