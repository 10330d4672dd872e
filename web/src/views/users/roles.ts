import type { Schemas } from '~/api/client';

export type Role = Schemas['Role'];

export const ROLES: readonly { value: Role; label: string }[] = [
  { value: 'viewer', label: 'viewer: sees' },
  { value: 'operator', label: 'operator: also runs' },
  { value: 'editor', label: 'editor: also changes' },
  { value: 'owner', label: 'owner: everything' },
];

/** What the server asks of a password. */
export const MIN_PASSWORD = 12;
