import '~/ui/tokens.css';

import { QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';

import { sessionQuery } from '~/api/session';
import { ahead, queryClient, router } from '~/app/router';
import { applyTheme } from '~/app/theme';
import { Toasts } from '~/ui/Toasts';

applyTheme();
// Who this is, is asked while the view is on its way.
ahead(queryClient.query(sessionQuery));

const place = document.getElementById('root');
if (place === null) throw new Error('index.html has no #root');
createRoot(place).render(
  <StrictMode>
    <QueryClientProvider client={queryClient}>
      <Toasts>
        <RouterProvider router={router} />
      </Toasts>
    </QueryClientProvider>
  </StrictMode>,
);
