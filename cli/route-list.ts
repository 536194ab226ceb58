import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { withContext } from './context.ts';
import { withIuCore } from './iu-core.ts';
import type { GlobalOptions } from './options.ts';
import { printResult } from './print.ts';
import { type Route, readGates, readRoutes } from './route-read.ts';
import { textTable } from './text-table.ts';

/** `sluice route list` */
export function routeList(_: readonly string[], options: GlobalOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const routes = await withIuCore(context, 'route list', ({ client, transact }) =>
      transact('read only', async () => readRoutes(client, await readGates(client))),
    );
    const listed = routes.map(({ config, description, updatedAt, ...route }) => route);
    printResult(context.output, listed, () => routesText(routes));
    return EXIT.done;
  });
}

/** The state in one word, with the reason where it is kept back. */
export function stateText({ state, why }: Pick<Route, 'state' | 'why'>): string {
  return why === null ? state.replace('_', ' ') : `${state}: ${why}`;
}

/** The events that a route takes, as `domain.type` and its filter. */
export function eventsText({ domain, type, filter }: Route['events']): string {
  return filter === null ? `${domain}.${type}` : `${domain}.${type} where ${filter}`;
}

function routesText(routes: readonly Route[]): string {
  if (routes.length === 0) return 'no routes; `sluice route set` creates one';
  return textTable(
    ['route', 'events', 'kind', 'target', 'enabled', 'ordered', 'queued', 'dead letters', 'breaker', 'state'],
    routes.map((route) => [
      route.code,
      eventsText(route.events),
      route.kind,
      route.target,
      route.enabled ? 'yes' : 'no',
      route.ordered ? route.afterDeadLetter : 'no',
      route.queued,
      route.deadLettersOpen,
      route.breaker ?? '-',
      stateText(route),
    ]),
  );
}
