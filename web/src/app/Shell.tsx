import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, Outlet, useRouterState } from '@tanstack/react-router';
import {
  Activity,
  BookOpen,
  Box,
  Building2,
  CalendarClock,
  ChartColumn,
  KeyRound,
  LockKeyhole,
  LogOut,
  Menu as MenuIcon,
  Monitor,
  Moon,
  Puzzle,
  ScrollText,
  Send,
  Sun,
  UserRound,
  Users,
  Workflow,
  X,
  type LucideIcon,
} from 'lucide-react';
import { useState } from 'react';

import { logOut, sessionQuery, type Permission } from '~/api/session';
import { setTheme, useTheme } from '~/app/theme';
import { Button, IconButton } from '~/ui/Button';
import { Menu } from '~/ui/Menu';
import { useSay } from '~/ui/Toasts';

import styles from './Shell.module.css';

interface Place {
  to: string;
  label: string;
  icon: LucideIcon;
  needs: Permission;
}

const GROUPS: readonly { name: string; places: readonly Place[] }[] = [
  {
    name: 'Work',
    places: [
      { to: '/flows', label: 'Flows', icon: Workflow, needs: 'flows:read' },
      { to: '/runs', label: 'Runs', icon: Activity, needs: 'runs:read' },
      { to: '/schedules', label: 'Schedules', icon: CalendarClock, needs: 'schedules:read' },
      { to: '/webhooks', label: 'Webhooks', icon: Send, needs: 'webhooks:read' },
      { to: '/secrets', label: 'Secrets', icon: LockKeyhole, needs: 'secrets:read' },
      { to: '/modules', label: 'Modules', icon: Box, needs: 'flows:read' },
    ],
  },
  {
    name: 'Account',
    places: [
      { to: '/account', label: 'Account', icon: Building2, needs: 'account:read' },
      { to: '/usage', label: 'Usage', icon: ChartColumn, needs: 'usage:read' },
      { to: '/tokens', label: 'Tokens', icon: KeyRound, needs: 'tokens:read' },
      { to: '/users', label: 'Users', icon: Users, needs: 'users:read' },
      { to: '/plugins', label: 'Plugins', icon: Puzzle, needs: 'plugins:read' },
      { to: '/audit', label: 'Audit', icon: ScrollText, needs: 'audit:read' },
    ],
  },
];

const THEMES = [
  { theme: 'system', label: 'Like the system', icon: Monitor },
  { theme: 'light', label: 'Light', icon: Sun },
  { theme: 'dark', label: 'Dark', icon: Moon },
] as const;

/** The frame around every view: where one can go, who one is, and how the page looks. */
export function Shell() {
  const [open, setOpen] = useState(false);
  return (
    <div className={styles.shell}>
      <a className={styles.skip} href="#main">
        Skip to the content
      </a>
      <div className={styles.top}>
        <Brand />
        <IconButton
          label={open ? 'Close the menu' : 'Open the menu'}
          aria-expanded={open}
          onClick={() => setOpen(!open)}
        >
          {open ? <X aria-hidden /> : <MenuIcon aria-hidden />}
        </IconButton>
      </div>
      <Side open={open} onLeave={() => setOpen(false)} />
      <main id="main" className={styles.main} tabIndex={-1}>
        <Outlet />
      </main>
    </div>
  );
}

function Brand() {
  return (
    <Link to="/flows" className={styles.brand}>
      <img src="/favicon.svg" alt="" />
      flowrunner
    </Link>
  );
}

function Side({ open, onLeave }: { open: boolean; onLeave: () => void }) {
  const { data: identity } = useQuery(sessionQuery);
  const path = useRouterState({ select: (state) => state.location.pathname });
  const permissions = identity?.permissions ?? [];
  return (
    <div className={styles.side} data-open={open}>
      <Brand />
      <nav aria-label="Main">
        {GROUPS.map((group) => {
          const places = group.places.filter((place) => permissions.includes(place.needs));
          if (places.length === 0) return null;
          return (
            <div key={group.name} className={styles.group}>
              <div className={styles.groupName}>{group.name}</div>
              {places.map((place) => (
                <Link
                  key={place.to}
                  to={place.to}
                  className={styles.link}
                  aria-current={path.startsWith(place.to) ? 'page' : undefined}
                  onClick={onLeave}
                >
                  <place.icon aria-hidden />
                  {place.label}
                </Link>
              ))}
            </div>
          );
        })}
      </nav>
      <a className={`${styles.link} ${styles.documents}`} href="/docs/" target="_blank" rel="noopener">
        <BookOpen aria-hidden />
        Documents
      </a>
      <Foot name={identity?.name ?? ''} />
    </div>
  );
}

function Foot({ name }: { name: string }) {
  const queries = useQueryClient();
  const theme = useTheme();
  const Icon = THEMES.find((one) => one.theme === theme)?.icon ?? Monitor;
  const say = useSay();
  const leave = async () => {
    try {
      await logOut(queries);
    } catch (error) {
      say(error instanceof Error ? error.message : 'That did not work.');
    }
  };
  return (
    <div className={styles.foot}>
      <Menu
        label="You"
        trigger={
          <Button look="quiet" className={styles.user ?? ''}>
            <UserRound aria-hidden />
            <span className="truncate">{name}</span>
          </Button>
        }
        items={[{ label: 'Log out', icon: LogOut, onSelect: () => void leave() }]}
      />
      <Menu
        label="Theme"
        trigger={
          <IconButton label="Theme">
            <Icon aria-hidden />
          </IconButton>
        }
        items={THEMES.map(({ theme: next, label, icon }) => ({
          label,
          icon,
          onSelect: () => setTheme(next),
        }))}
      />
    </div>
  );
}
