import { useQueryClient } from '@tanstack/react-query';
import { createContext, useContext, useEffect, useState, type ReactNode } from 'react';
import { listen, type Link } from './events';

const LinkContext = createContext<Link>({ up: true, heard: Date.now() });

export function LinkProvider({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const [link, setLink] = useState<Link>({ up: true, heard: Date.now() });
  useEffect(() => listen(client, setLink), [client]);
  return <LinkContext value={link}>{children}</LinkContext>;
}

/** Whether the appliance is heard; buttons that change things are disabled while it is not. */
export const useLink = () => useContext(LinkContext);
