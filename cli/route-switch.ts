import { EXIT, type ExitCode, SluiceError } from '../contracts/error-codes.ts';
import { controlOf } from './actor.ts';
import { confirm } from './ask.ts';
import { withContext } from './context.ts';
import type { Handler } from './lazily.ts';
import type { ChangeOptions } from './options.ts';
import { DISABLE_LEVELS } from './outbox.ts';
import { actingAs } from './outbox-acting-as.ts';
import { printResult } from './print.ts';
import { stateText } from './route-list.ts';
import type { Route } from './route-read.ts';
import { withRoute } from './with-route.ts';

const RUNBOOK_LEVELS: ReadonlySet<string> = new Set(DISABLE_LEVELS);

type Verb = 'enable' | 'disable';

/** `sluice route enable CODE`: the worker looks at the route; where it is not in dry run, it is live at once. */
export const routeEnable: Handler<ChangeOptions> = ([code = ''], options) => turn('enable', code, options);

/** `sluice route disable CODE`: events that come meanwhile are decided without the route, and that is final. */
export const routeDisable: Handler<ChangeOptions> = ([code = ''], options) => turn('disable', code, options);

function turn(verb: Verb, code: string, options: ChangeOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const dryRun = options.dryRun === true;
    const result = await withRoute(context, { doing: `route ${verb}`, code }, async (given) => {
      const { client, route, look } = given;
      const wanted = verb === 'enable';
      if (wanted) demandOwnSwitch(route);
      const changes = route.enabled !== wanted;
      if (changes && !dryRun) await confirm(question(verb, route), options);
      const control = await controlOf(options, context.env);
      if (changes && !dryRun) {
        await actingAs(
          given,
          control,
        )(() =>
          client.query(
            'update iu_outbound_route set enabled = $2, disabled_by = null where route_code = $1',
            [code, wanted],
          ),
        );
      }
      const now = dryRun ? { ...route, enabled: wanted } : (await look()).route;
      return { verb, code, changed: changes, dryRun, route: now, notes: notes(verb, now), ...control };
    });
    printResult(context.output, result, () =>
      [
        `${code} ${said(result)}${dryRun ? '' : ` (${stateText(result.route)})`}`,
        ...result.notes.map((line) => `  ${line}`),
      ].join('\n'),
    );
    return EXIT.done;
  });
}

/** What a level of the runbook switched off, its way back switches on; what a delivery switched off, a person does. */
function demandOwnSwitch({ code, disabledBy }: Route): void {
  if (disabledBy === null || !RUNBOOK_LEVELS.has(disabledBy)) return;
  throw new SluiceError('route_refused', {
    what: `Route ${code} was disabled by level ${disabledBy} of the disable runbook.`,
    expected: `Its way back enables it: sluice outbox enable --level ${disabledBy}.`,
    safe: 'Nothing was changed.',
  });
}

function question(verb: Verb, { code, dryRun }: Route): string {
  if (verb === 'disable') return `Disable route ${code}? Events that come meanwhile pass it by for good.`;
  return dryRun
    ? `Enable route ${code}?`
    : `Enable route ${code}? It is not in dry run and delivers at once.`;
}

function said({ verb, changed, dryRun }: { verb: Verb; changed: boolean; dryRun: boolean }): string {
  if (!changed) return `is ${verb}d already`;
  return dryRun ? `would be ${verb}d` : `is ${verb}d`;
}

function notes(verb: Verb, { code, queued }: Route): readonly string[] {
  if (verb === 'enable') return [];
  return [
    'events that come now are decided without it, and that is final: a dry run would record them',
    ...(queued === 0
      ? []
      : [
          `${queued} deliveries stay queued and are not sent; sluice route dry-run ${code} --recall takes them out`,
        ]),
  ];
}
