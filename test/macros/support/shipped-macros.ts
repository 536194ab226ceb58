import { join } from 'node:path';
import { followRun } from '../../../client/follow-run.ts';
import type { MacroStatus } from '../../../contracts/macro-run.ts';
import { buildPlan } from '../../../planning/build-plan.ts';
import { SHIPPED_MACROS } from '../../../planning/list-macros.ts';
import { storePlan } from '../../../planning/store-plan.ts';
import type { TestEngine } from '../../support/engine.ts';
import { send } from '../../support/engine-facts.ts';

export type ShippedMacro =
  | 'iu-core-base'
  | 'event-worker'
  | 'worker-live-dry-run'
  | 'disable-outbound'
  | 'disable-outbound-fully'
  | 'delivery-seam'
  | 'delivery-live'
  | 'durable-live-route'
  | 'dead-letter-replay'
  | 'replay-after-fix';
export type Handle = Awaited<ReturnType<TestEngine['start']>>;

/** Quick where the manifest takes its time, and otherwise as it ships. */
const QUICK: Readonly<Partial<Record<ShippedMacro, Readonly<Record<string, string>>>>> = {
  'worker-live-dry-run': { 'observe.window': '3s', 'observe.interval': '250ms' },
  'durable-live-route': {
    'observe-routing.window': '3s',
    'observe-routing.interval': '250ms',
    'observe-delivery.window': '3s',
    'observe-delivery.interval': '250ms',
  },
};

/** A window in which what runs beside it comes back after its worker was lost, as in the one that ships. */
export const LASTING = '12s';

/** Plans a macro that ships with the package and starts it. */
export async function startShipped(
  engine: TestEngine,
  macro: ShippedMacro,
  overrides: Readonly<Record<string, string>> = {},
): Promise<Handle> {
  const built = await buildPlan({
    manifestPath: join(SHIPPED_MACROS, macro, 'macro.yaml'),
    target: engine.target,
    schema: 'public',
    overrides: { ...QUICK[macro], ...overrides },
  });
  await storePlan(engine.sql, built, { actor: 'ana' });
  return engine.start(built.planHash);
}

/** Follows a run to its end, approves as a second person, and calls back once it observes. */
export async function follow(
  handle: Handle,
  hooks: { onObserve?: () => Promise<unknown>; onApproval?: () => Promise<unknown> } = {},
): Promise<MacroStatus> {
  let observed: Promise<unknown> | undefined;
  let approved = '';
  const status = await followRun(handle, {
    everyMs: 100,
    async onStatus({ pendingApproval, planHash, steps, held }) {
      // Nobody is here to look at it.
      if (held !== null) throw new Error(held.reason);
      if (pendingApproval !== null && pendingApproval.fingerprint !== approved) {
        approved = pendingApproval.fingerprint;
        await hooks.onApproval?.();
        await send(handle, 'approve', { planHash, fingerprint: pendingApproval.fingerprint });
      }
      const observing = steps.find((step) => step.kind === 'observe');
      if (observing?.state === 'running') observed ??= hooks.onObserve?.();
    },
  });
  await observed;
  return status;
}

/** Runs a macro that ships with the package to its end. */
export async function runShipped(
  engine: TestEngine,
  macro: ShippedMacro,
  hooks: Parameters<typeof follow>[1] = {},
): Promise<MacroStatus> {
  return follow(await startShipped(engine, macro), hooks);
}
