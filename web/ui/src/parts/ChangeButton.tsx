import { Button, type ButtonProps } from '@mantine/core';
import type { ComponentPropsWithoutRef } from 'react';
import { useLink } from '~/api/link';

type Props = ButtonProps & Omit<ComponentPropsWithoutRef<'button'>, keyof ButtonProps>;

/** A button that changes something: waits while the appliance is not heard. */
export function ChangeButton({ disabled, ...rest }: Props) {
  const { up } = useLink();
  return <Button {...rest} disabled={disabled || !up} />;
}
