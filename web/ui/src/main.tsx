import { MantineProvider } from '@mantine/core';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { asProblem } from './api/client';
import { WordsProvider } from './i18n';
import { ToastProvider } from './parts/Toasts';
import { makeRouter } from './router';
import './styles/fonts.css';
import './styles/mantine.css';
import './styles/tokens.css';
import './styles/base.css';
import { theme } from './theme';

const client = new QueryClient({
  defaultOptions: {
    queries: {
      // Events say what is stale; the age only bounds what was missed.
      staleTime: 60_000,
      // Only silence is worth asking again: an answer, even a bad one, is an answer.
      retry: (failures, error) => asProblem(error).status === 0 && failures < 2,
      refetchOnWindowFocus: false,
    },
  },
});
const router = makeRouter(client);

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <MantineProvider theme={theme} defaultColorScheme="auto">
      <WordsProvider>
        <QueryClientProvider client={client}>
          <ToastProvider>
            <RouterProvider router={router} />
          </ToastProvider>
        </QueryClientProvider>
      </WordsProvider>
    </MantineProvider>
  </StrictMode>,
);
