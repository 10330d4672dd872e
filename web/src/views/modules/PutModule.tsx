import { useState } from 'react';

import { api } from '~/api/client';
import { base64Of, sizeText } from '~/lib/files';
import { useAction } from '~/lib/useAction';
import { Dialog } from '~/ui/Dialog';
import { Field, TextField } from '~/ui/Field';
import { DialogForm } from '~/ui/Form';

const MAX_FILE = 3 * 1_048_576;

interface Props {
  /** The name of the module that gets another content; null for a new one. */
  module: string | null;
  onClose: () => void;
}

/** Keeps a WebAssembly module. */
export function PutModule({ module, onClose }: Props) {
  const [name, setName] = useState(module ?? '');
  const [file, setFile] = useState<File | null>(null);
  const put = useAction(
    ['modules'],
    async () => {
      if (file === null) throw new Error('Choose a file.');
      if (file.size > MAX_FILE)
        throw new Error(
          `${file.name} has ${sizeText(file.size)}, and 3 MiB fit: let the linker leave out symbols.`,
        );
      const body = { content: await base64Of(file) };
      await api.PUT('/v1/modules/{module}', { params: { path: { module: name } }, body });
    },
    onClose,
  );
  const choose = (chosen: File | undefined) => {
    setFile(chosen ?? null);
    if (chosen && name === '') setName(chosen.name.replace(/\.wasm$/i, ''));
  };
  return (
    <Dialog title={module === null ? 'New module' : `Replace ${module}`} open onClose={onClose}>
      <DialogForm action="Store" act={put} onCancel={onClose}>
        <Field label="File" hint="A .wasm file that was built for wasm32-wasip1, of at most 3 MiB.">
          {(wiring) => (
            <input
              {...wiring}
              type="file"
              accept=".wasm,application/wasm"
              required
              onChange={(event) => choose(event.target.files?.[0])}
            />
          )}
        </Field>
        {module === null && (
          <TextField
            label="Name"
            hint={
              <>
                Flows call it so: <code>module: {name || 'NAME'}</code>
              </>
            }
            required
            maxLength={128}
            pattern="[A-Za-z0-9][A-Za-z0-9._\-]*"
            title="Letters, digits, dots, hyphens and underscores."
            autoComplete="off"
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
        )}
      </DialogForm>
    </Dialog>
  );
}
