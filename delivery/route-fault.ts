import { SluiceError } from '../contracts/error-codes.ts';
import type { DeliveryTarget } from './delivery-target.ts';
import {
  DELIVERY_TARGET_KINDS,
  type DeliveryTargetKind,
  isDeliveryTargetKind,
} from './delivery-target-kind.ts';
import { directusFlowTarget } from './directus-flow-target.ts';
import { externalEndpointTarget } from './external-endpoint-target.ts';
import { reportTarget } from './report-target.ts';
import { vectorTarget } from './vector-target.ts';
import { workflowFault } from './workflow-fault.ts';

type Judge = DeliveryTarget['fault'];

/**
 * What is wrong with the target or the config of a route as they are written, in one sentence without a full stop; null
 * where nothing is. It needs no configuration: the rules are those of the targets themselves.
 */
export function routeFault(
  kind: string,
  targetRef: string,
  config: Readonly<Record<string, unknown>>,
): string | null {
  if (!isDeliveryTargetKind(kind))
    return `Kind \`${kind}\` of a target is unknown; there are ${DELIVERY_TARGET_KINDS.join(', ')}`;
  return JUDGES[kind](targetRef, config)?.replace(/\.$/, '') ?? null;
}

/** As `fn_iu_delivery_function_fault` asks for it. */
const FUNCTION = /^[a-z_][a-z0-9_$]*\.[a-z_][a-z0-9_$]*$/;

const sqlFunction: Judge = (targetRef, config) => {
  if (!FUNCTION.test(targetRef)) return 'target_ref is not of the form schema.function';
  const [key] = Object.keys(config);
  return key === undefined
    ? null
    : `Unknown key \`config.${key}\` (a function of the database has no settings)`;
};

const refuse = async (): Promise<never> => {
  throw new SluiceError('delivery_invalid', {
    what: 'A target that only judges was asked to deliver.',
    expected: '',
    safe: 'Nothing was sent.',
  });
};
const guard = { post: refuse, close: async () => undefined };

/** Targets that are never delivered to, for their rules. */
const JUDGES: Readonly<Record<DeliveryTargetKind, Judge>> = {
  sql_function: sqlFunction,
  external_endpoint: judgeOf(
    externalEndpointTarget({ source: 'urn:none' }, { guard, resolveSecretNamed: refuse }),
  ),
  directus_flow: judgeOf(directusFlowTarget({ baseUrl: 'https://none.invalid', token: null }, { guard })),
  report: judgeOf(reportTarget({ dir: '.' })),
  workflow: workflowFault,
  vector: judgeOf(
    vectorTarget({
      url: refuse,
      embedding: { url: 'https://none.invalid', model: '-', dimensions: 1, apiKey: null },
      guard,
    }),
  ),
};

function judgeOf(target: DeliveryTarget): Judge {
  return (targetRef, config) => target.fault(targetRef, config);
}
