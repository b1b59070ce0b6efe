import type { Warning } from '../contract/provider-types.ts';
import type { LipsyncError } from '../errors/index.ts';

export function notLabeledWarning({ message }: LipsyncError): Warning {
  return {
    code: 'output_not_labeled',
    message: `The output has no visible label. ${message} Label it in another way before it is shown.`,
  };
}

export function notMarkedWarning({ message }: LipsyncError): Warning {
  return {
    code: 'output_not_marked',
    message: `The output carries no signed mark of its origin. ${message} Mark it in another way before it is shown.`,
  };
}
