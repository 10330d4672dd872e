import { ExternalLink } from 'lucide-react';

import { useErrorPage } from '~/lib/errorCodes';

import styles from './Notes.module.css';

/** An error's code; it leads to what the documents say of it, where they are served. */
export function ErrorCode({ code }: { code: string }) {
  const page = useErrorPage(code);
  if (page === null) return <code className={styles.code}>{code}</code>;
  return (
    <a
      className={styles.code}
      href={page}
      target="_blank"
      rel="noopener"
      title="What this means, and what to do"
    >
      <code>{code}</code>
      <ExternalLink aria-hidden />
    </a>
  );
}
