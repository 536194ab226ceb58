import { type Command, Option } from 'commander';
import { DELIVERY_TARGET_KINDS } from '../delivery/delivery-target-kind.ts';
import type { Lazily } from './lazily.ts';
import { changes } from './options.ts';

/** `sluice route …` */
export function addRouteCommands(program: Command, lazily: Lazily): void {
  const route = program
    .command('route')
    .description(
      'where events go: routes of the outbox, which of them are live, and a test of their targets',
    );
  route
    .command('list')
    .description('the routes, each with its target, whether it is live, what is queued and what failed')
    .action(lazily(async () => (await import('./route-list.ts')).routeList));
  route
    .command('show')
    .description('one route with its config, its last attempts, and whether it could be delivered from here')
    .argument('<code>', CODE)
    .action(lazily(async () => (await import('./route-show.ts')).routeShow));
  changes(route.command('set'))
    .description('create a route (disabled, in dry run) or change one that is in dry run')
    .argument('<code>', 'letters, digits, dot and underscore')
    .option('--domain <name>', 'domain of the events it takes, such as iu')
    .option('--type <name>', 'type of the events it takes, such as version_applied')
    .option('--filter <jsonpath>', 'take only payloads that this path finds something true in')
    .option('--no-filter', 'take every payload')
    .addOption(new Option('--kind <kind>', 'kind of the target').choices(DELIVERY_TARGET_KINDS))
    .option('--ref <text>', 'the target, in the words of its kind')
    .option('--route-config <json>', 'settings of the target, a JSON object; replaces what is there')
    .option('--route-config-file <file>', 'a file with that object; - for stdin')
    .option('--ordered', 'deliver the events of one subject in their order')
    .option('--no-ordered', 'deliver in any order')
    .addOption(
      new Option('--after-dead-letter <what>', 'what an ordered route does behind a dead letter').choices([
        'block',
        'skip',
      ]),
    )
    .option('--description <text>', 'what it is for')
    .addHelpText('after', SET_HELP)
    .action(lazily(async () => (await import('./route-set.ts')).routeSet));
  for (const [verb, says] of [
    ['enable', 'let the worker look at the route'],
    ['disable', 'take the route out of the worker’s sight: events that come meanwhile pass it by'],
  ] as const) {
    changes(route.command(verb))
      .description(says)
      .argument('<code>', CODE)
      .action(
        lazily(async () => {
          const switches = await import('./route-switch.ts');
          return verb === 'enable' ? switches.routeEnable : switches.routeDisable;
        }),
      );
  }
  changes(route.command('allow'))
    .description('put the route (and the function it calls) on the lists of what may deliver')
    .argument('<code>', CODE)
    .option('--remove', 'take it off again')
    .action(lazily(async () => (await import('./route-allow.ts')).routeAllow));
  changes(route.command('live'))
    .description('deliver from now on, where every condition for it is met')
    .argument('<code>', CODE)
    .action(lazily(async () => (await import('./route-live.ts')).routeLive));
  changes(route.command('dry-run'))
    .description('deliver nothing any more and only record what would be')
    .argument('<code>', CODE)
    .option('--recall', 'take what is queued out of the queue, each with a dry-run attempt')
    .action(lazily(async () => (await import('./route-dry-run.ts')).routeDryRun));
  route
    .command('test')
    .description('send one signed test event to the target and print the outcome; 3 where it was not sent')
    .argument('<code>', CODE)
    .option('--payload <json>', 'payload of the event, a JSON object', '{"test": true}')
    .addHelpText('after', TEST_HELP)
    .action(lazily(async () => (await import('./route-test.ts')).routeTest));
}

const CODE = 'code of the route';

const SET_HELP = `
Targets by kind:
  sql_function       schema.function
  workflow           task-queue/WorkflowType
  vector             schema.table
  report             name of the report
  directus_flow      uuid of the flow
  external_endpoint  URL
Secrets are named, as delivery.secrets of sluice.yaml names them; no secret belongs into a route. Example:
  sluice route set partner --domain iu --type version_applied --kind external_endpoint \\
    --ref https://partner.example/hook --route-config '{"signing_secrets": ["partner-2026"]}' --reason "agreed"`;

const TEST_HELP = `
The event is sluice.test. It is written to no outbox and no attempt is recorded; a function of the database is called in a
transaction that is rolled back. The route needs neither to be live nor to be allowed.`;
