import { useEffect, useRef, type ReactNode } from 'react';

interface Props {
  /** Also the browser tab's title. */
  text: string;
  children?: ReactNode;
  actions?: ReactNode;
}

/** The page's heading: takes the focus when the page changes, so that keyboards and readers follow. */
export function Title({ text, children, actions }: Props) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${text} · Holdfast`;
  }, [text]);
  useEffect(() => {
    if (sawFirstPage) heading.current?.focus({ preventScroll: true });
    sawFirstPage = true;
  }, []);
  return (
    <div className="spread" style={{ alignItems: 'flex-end', rowGap: '0.75rem' }}>
      <div>
        <h1 ref={heading} tabIndex={-1}>
          {text}
        </h1>
        {children && (
          <div className="row" style={{ marginTop: '0.35rem', columnGap: '1rem' }}>
            {children}
          </div>
        )}
      </div>
      {actions && <div className="row">{actions}</div>}
    </div>
  );
}

/** On the first page the browser's own start of reading is right. */
let sawFirstPage = false;
