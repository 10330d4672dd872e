import { useQuery } from '@tanstack/react-query';
import type { ComponentProps } from 'react';

import { flowNamesQuery } from '~/api/flowNames';
import { Select } from '~/ui/Field';

interface Props extends Omit<ComponentProps<typeof Select>, 'choices' | 'onChange' | 'value'> {
  /** What stands for no flow. */
  none: string;
  value: string;
  onFlow: (id: string) => void;
}

/** One of the account's flows. */
export function FlowSelect({ none, value, onFlow, ...rest }: Props) {
  const { data: flows = [] } = useQuery(flowNamesQuery);
  const known = value === '' || flows.some(({ id }) => id === value);
  return (
    <Select
      {...rest}
      value={value}
      choices={[
        { value: '', label: none },
        ...flows.map(({ id, name }) => ({ value: id, label: name })),
        ...(known ? [] : [{ value, label: value }]),
      ]}
      onChange={(event) => onFlow(event.target.value)}
    />
  );
}
