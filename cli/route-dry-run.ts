import type { ControlInput } from '../contracts/control.ts';
import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { repeatLostTransaction } from '../target/repeat-lost-transaction.ts';
import { controlOf } from './actor.ts';
import { confirm } from './ask.ts';
import { withContext } from './context.ts';
import { untilInterrupted } from './interrupt.ts';
import type { ChangeOptions } from './options.ts';
import { actingAs } from './outbox-acting-as.ts';
import { note, printResult } from './print.ts';
import { stateText } from './route-list.ts';
import type { Route } from './route-read.ts';
import { demandSeam } from './route-seam.ts';
import { type GivenRoute, withRoute } from './with-route.ts';

type DryRunOptions = ChangeOptions & { readonly recall?: boolean };

/** Deliveries that one transaction takes out of the queue. */
const PAGE = 500;

/** What `fn_iu_route_delivery_recall` answers. */
interface Recall {
  readonly recalled: number;
  readonly still_queued: number;
}

/**
 * `sluice route dry-run CODE [--recall]`: the route delivers nothing any more; a delivery under way ends. What is queued
 * stays so until the route is live again, or is recalled: each leaves the queue with an attempt `dry_run`.
 */
export function routeDryRun([code = '']: readonly string[], options: DryRunOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const dryRun = options.dryRun === true;
    const recall = options.recall === true;
    const interrupted = untilInterrupted();
    try {
      const result = await withRoute(context, { doing: 'route dry-run', code }, async (given) => {
        const { access, client, gates, route, look } = given;
        if (recall) demandSeam(gates, access);
        if (recall && !dryRun && route.queued > 0)
          await confirm(
            `Take ${route.queued} queued deliveries of route ${code} out of the queue? They are not sent.`,
            options,
          );
        const control = await controlOf(options, context.env);
        if (!route.dryRun && !dryRun) {
          await actingAs(
            given,
            control,
          )(() => client.query('update iu_outbound_route set dry_run = true where route_code = $1', [code]));
        }
        const recalled = recall && !dryRun ? await recallAll(given, control, interrupted.signal) : 0;
        const now = dryRun ? route : (await look()).route;
        const said = { verb: 'dry-run', code, changed: !route.dryRun, dryRun, recalled };
        return { ...said, route: now, notes: notes(now, recall), ...control };
      });
      printResult(context.output, result, () =>
        [
          result.changed
            ? `${code} ${dryRun ? 'would go' : 'is'} in dry run`
            : `${code} is in dry run already`,
          ...(dryRun || stateText(result.route) === 'dry run' ? [] : [`  it is ${stateText(result.route)}`]),
          ...(recall && !dryRun ? [`  ${result.recalled} queued deliveries recalled`] : []),
          ...result.notes.map((line) => `  ${line}`),
        ].join('\n'),
      );
      return interrupted.signal.aborted ? EXIT.interrupted : EXIT.done;
    } finally {
      interrupted.release();
    }
  });
}

async function recallAll(given: GivenRoute, control: ControlInput, signal: AbortSignal): Promise<number> {
  const { client, route } = given;
  const transact = actingAs(given, control);
  let recalled = 0;
  while (!signal.aborted) {
    const page = await repeatLostTransaction({ doing: 'route dry-run' }, () =>
      transact(async () => {
        const answered = await client.query<{ answer: Recall }>(
          'select fn_iu_route_delivery_recall($1, $2, $3, $4) as answer',
          [route.code, PAGE, control.actor, control.reason],
        );
        const answer = answered.rows[0]?.answer;
        if (answer === undefined) throw new Error('fn_iu_route_delivery_recall returned no row');
        return answer;
      }),
    );
    recalled += page.recalled;
    if (page.recalled > 0) note(`recalled ${recalled} of ${recalled + page.still_queued} deliveries`);
    if (page.recalled === 0 || page.still_queued === 0) break;
  }
  return recalled;
}

function notes({ code, queued }: Route, recall: boolean): readonly string[] {
  if (queued === 0) return [];
  return recall
    ? [
        `${queued} deliveries are still queued: under way by a worker; repeat the command once their leases have ended`,
      ]
    : [
        `${queued} deliveries stay queued and are not sent; they go when the route is live again`,
        `sluice route dry-run ${code} --recall takes them out, each with an attempt dry_run`,
      ];
}
