import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import type { ReplayPlan } from '../contracts/replay.ts';
import { buildRegistry, closeRegistry } from '../delivery/build-registry.ts';
import { leaveOutFailing } from '../replay/leave-out-failing.ts';
import { planReplay } from '../replay/plan-replay.ts';
import { withContext } from './context.ts';
import { replayControlOf } from './dead-letter-control.ts';
import { filterOf, type PlanOptions, policyOf } from './dead-letter-options.ts';
import { nextCommand, planText } from './dead-letter-plan-text.ts';
import { withIuCore } from './iu-core.ts';
import type { ChangeOptions } from './options.ts';
import { note, printResult } from './print.ts';

type Options = ChangeOptions &
  PlanOptions & { readonly samples: number; readonly tryOut: boolean; readonly leaveOutFailing?: boolean };

/**
 * `sluice dead-letter plan [ID...]`: freezes letters, routes and policy under a hash, and tries samples out where that leaves
 * nothing behind. Nothing is replayed. Where nothing is to be replayed, nothing is stored either.
 */
export function deadLetterPlan(ids: readonly string[], options: Options): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const filter = filterOf(ids, options);
    const policy = policyOf(options);
    const { actor, reason } = await replayControlOf(options, context.env);
    const plan = await withIuCore(context, 'dead-letter plan', async ({ client, target, transact }) => {
      // What is tried out is a function, a report or a vector; workflows are never started.
      const registry = buildRegistry(target.delivery, { temporal: null, env: context.env });
      try {
        const made = await planReplay({
          client,
          transact,
          target,
          registry,
          filter,
          policy,
          actor,
          reason,
          samples: options.tryOut ? options.samples : 0,
        });
        if (options.leaveOutFailing === true) {
          const failing = await leaveOutFailing({ client, transact }, made, { actor, reason });
          if (failing.length < made.groups.length)
            for (const { fingerprint, letters } of failing)
              note(`left out, since it still fails: ${letters} letters of ${fingerprint}`);
        }
        return made;
      } finally {
        await closeRegistry(registry);
      }
    });
    const target = context.targetName();
    const result: ReplayPlan & { readonly target: string; readonly next: string | null } = {
      ...plan,
      target,
      next: nextCommand(plan, target),
    };
    printResult(context.output, result, () => planText(plan, target));
    return EXIT.done;
  });
}
