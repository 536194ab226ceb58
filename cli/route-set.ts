import { readFile } from 'node:fs/promises';
import { text as readAll } from 'node:stream/consumers';
import type pg from 'pg';
import type { TargetAccess } from '../activities/dependencies.ts';
import { EXIT, type ExitCode, SluiceError } from '../contracts/error-codes.ts';
import type { DeliveryTargetKind } from '../delivery/delivery-target-kind.ts';
import { literalSecretIn } from '../delivery/literal-secret.ts';
import { routeFault } from '../delivery/route-fault.ts';
import { controlOf } from './actor.ts';
import { withContext } from './context.ts';
import { withIuCore } from './iu-core.ts';
import type { ChangeOptions } from './options.ts';
import { actingAs } from './outbox-acting-as.ts';
import { printResult } from './print.ts';
import { type Route, readGates, readRoutes } from './route-read.ts';
import { usage } from './usage.ts';

type SetOptions = ChangeOptions & {
  readonly domain?: string;
  readonly type?: string;
  /** False: none any more. */
  readonly filter?: string | false;
  readonly kind?: DeliveryTargetKind;
  readonly ref?: string;
  readonly routeConfig?: string;
  readonly routeConfigFile?: string;
  readonly ordered?: boolean;
  readonly afterDeadLetter?: 'block' | 'skip';
  readonly description?: string;
};

/** What a route is set to; its switches are not among it. */
interface Wanted {
  readonly domain: string;
  readonly type: string;
  readonly filter: string | null;
  readonly kind: string;
  readonly target: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly ordered: boolean;
  readonly afterDeadLetter: 'block' | 'skip';
  readonly description: string;
}

/**
 * `sluice route set CODE …`: creates a route, disabled and in dry run, or changes what is given of one that is in dry
 * run. Target and config are judged as their kind does, also where the kind is not built.
 */
export function routeSet([code = '']: readonly string[], options: SetOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const config = await configGiven(options);
    demandPlain(code, options);
    const dryRun = options.dryRun === true;
    const control = await controlOf(options, context.env);
    const result = await withIuCore(context, 'route set', async (given) => {
      const { client, target } = given;
      const decide = async () => {
        const [before] = await readRoutes(client, await readGates(client), code);
        if (before !== undefined && !before.dryRun) throw isLive(before);
        const wanted = wantedOf(code, options, before, config);
        await demandSound(client, code, wanted);
        return { before, wanted };
      };
      const { before, wanted } = dryRun
        ? await given.transact('read only', decide)
        : await actingAs(
            given,
            control,
          )(async () => {
            await client.query('select from iu_outbound_route where route_code = $1 for update', [code]);
            const decided = await decide();
            await write(client, code, decided.wanted, decided.before === undefined);
            return decided;
          });
      return {
        verb: before === undefined ? 'create' : 'change',
        code,
        dryRun,
        changes: changesOf(before, wanted),
        route: wanted,
        notes: notesOf(code, before, wanted, target),
        ...control,
      };
    });
    printResult(context.output, result, () => {
      const { verb, changes, notes } = result;
      const done = verb === 'create' ? 'created, disabled and in dry run' : 'changed';
      const what =
        verb === 'change' && changes.length === 0 ? 'is so already' : dryRun ? `would be ${done}` : done;
      const fields = verb === 'change' && changes.length > 0 ? `: ${changes.join(', ')}` : '';
      return [`${code} ${what}${fields}`, ...notes.map((line) => `  ${line}`)].join('\n');
    });
    return EXIT.done;
  });
}

async function configGiven(options: SetOptions): Promise<Readonly<Record<string, unknown>> | undefined> {
  const { routeConfig, routeConfigFile } = options;
  if (routeConfig !== undefined && routeConfigFile !== undefined)
    throw usage('The config is given twice.', 'Pass --route-config or --route-config-file.');
  const text = routeConfigFile === undefined ? routeConfig : await readGiven(routeConfigFile);
  return text === undefined ? undefined : objectOf(text, '--route-config');
}

async function readGiven(file: string): Promise<string> {
  if (file === '-') return readAll(process.stdin);
  return readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw usage(
      `The file ${file} cannot be read (${error.code ?? 'unknown'}).`,
      'Expected a file with one JSON object.',
    );
  });
}

/** The JSON object in a text, which is not repeated. @throws SluiceError `usage` */
export function objectOf(text: string, flag: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  } catch {
    // Said below, in the same words.
  }
  throw usage(`What ${flag} gives is not a JSON object.`, `Expected one, such as ${flag} '{"a": 1}'.`);
}

/** Names that the table would refuse, said by flag. */
function demandPlain(code: string, { domain, type }: SetOptions): void {
  if (!/^[a-z0-9][a-z0-9_.]{0,99}$/.test(code))
    throw usage(
      'The code of the route is not plain.',
      'Expected lower-case letters, digits, dot and underscore, at most 100, beginning with a letter or digit.',
    );
  for (const [flag, name] of [
    ['--domain', domain],
    ['--type', type],
  ] as const)
    if (name !== undefined && !/^\S+$/.test(name))
      throw usage(`${flag} is empty or holds white space.`, 'Expected a name such as iu or version_applied.');
}

function isLive({ code, enabled }: Route): SluiceError {
  return new SluiceError('route_refused', {
    what: `Route ${code} is live${enabled ? '' : ' as soon as it is enabled'}, and a live route is not changed.`,
    expected: `Take it to dry run first: sluice route dry-run ${code}.`,
    safe: 'Nothing was changed.',
  });
}

function wantedOf(
  code: string,
  options: SetOptions,
  before: Route | undefined,
  config: Readonly<Record<string, unknown>> | undefined,
): Wanted {
  const domain = options.domain ?? before?.events.domain;
  const type = options.type ?? before?.events.type;
  const kind = options.kind ?? before?.kind;
  const target = options.ref ?? before?.target;
  if (domain === undefined || type === undefined || kind === undefined || target === undefined) {
    const missing = Object.entries({ '--domain': domain, '--type': type, '--kind': kind, '--ref': target })
      .filter(([, value]) => value === undefined)
      .map(([flag]) => flag);
    throw usage(
      `There is no route ${code} yet, and ${missing.join(', ')} is missing.`,
      'A new route needs them.',
    );
  }
  return {
    domain,
    type,
    filter: options.filter === false ? null : (options.filter ?? before?.events.filter ?? null),
    kind,
    target,
    config: config ?? before?.config ?? {},
    ordered: options.ordered ?? before?.ordered ?? false,
    afterDeadLetter: options.afterDeadLetter ?? before?.afterDeadLetter ?? 'block',
    description: options.description ?? before?.description ?? '',
  };
}

async function demandSound(client: pg.Client, code: string, wanted: Wanted): Promise<void> {
  const secretAt = literalSecretIn(wanted.config);
  if (secretAt !== null) {
    throw new SluiceError('route_refused', {
      what: `\`${secretAt}\` looks like a secret itself, and everybody who reads the route would read it.`,
      expected:
        'Name a secret of delivery.secrets in sluice.yaml, such as "signing_secrets": ["partner-2026"].',
      safe: 'Nothing was written; a secret that was typed here belongs to the history of the shell now.',
    });
  }
  const fault = routeFault(wanted.kind, wanted.target, wanted.config);
  if (fault !== null) {
    throw new SluiceError('route_refused', {
      what: `Route ${code} is refused: ${fault}.`,
      expected: 'sluice route set --help shows what a target of each kind is.',
      safe: 'Nothing was changed.',
    });
  }
  if (wanted.filter === null) return;
  await client.query('select $1::jsonpath', [wanted.filter]).catch((error: unknown) => {
    if (!(error instanceof Error && 'code' in error && /^(42|22)/.test(String(error.code)))) throw error;
    throw new SluiceError('route_refused', {
      what: `The filter is no JSON path: ${error.message}.`,
      expected: `Expected a path over the payload, such as '$.kind ? (@ == "a")'.`,
      safe: 'Nothing was changed.',
    });
  });
}

async function write(client: pg.Client, code: string, wanted: Wanted, isNew: boolean): Promise<void> {
  const { domain, type, filter, kind, target, config, ordered, afterDeadLetter, description } = wanted;
  await client.query(
    isNew
      ? `insert into iu_outbound_route (
           route_code, event_domain, event_type, event_filter, target_kind, target_ref, config,
           ordered_by_subject, after_dead_letter, description, enabled, dry_run)
         values ($1, $2, $3, $4::jsonpath, $5, $6, $7, $8, $9, $10, false, true)`
      : `update iu_outbound_route
         set
           event_domain = $2, event_type = $3, event_filter = $4::jsonpath, target_kind = $5, target_ref = $6,
           config = $7, ordered_by_subject = $8, after_dead_letter = $9, description = $10
         where route_code = $1`,
    [code, domain, type, filter, kind, target, JSON.stringify(config), ordered, afterDeadLetter, description],
  );
}

/** Names of what differs. */
function changesOf(before: Route | undefined, wanted: Wanted): readonly string[] {
  const was: Partial<Wanted> = before === undefined ? {} : { ...before, ...before.events };
  return Object.entries(wanted)
    .filter(([key, value]) => !isSame(Reflect.get(was, key), value))
    .map(([key]) => key);
}

function isSame(a: unknown, b: unknown): boolean {
  return canonical(a) === canonical(b);
}

/** jsonb keeps no order of keys. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

function notesOf(
  code: string,
  before: Route | undefined,
  wanted: Wanted,
  { delivery }: TargetAccess,
): readonly string[] {
  const named = Array.isArray(wanted.config.signing_secrets) ? wanted.config.signing_secrets : [];
  const unknown = named.filter((name) => !Object.hasOwn(delivery.secrets, String(name)));
  const keepsTarget = before !== undefined && before.queued > 0 && before.target !== wanted.target;
  return [
    ...(before === undefined ? [`next: sluice route enable ${code}, then sluice route test ${code}`] : []),
    ...(unknown.length === 0
      ? []
      : [
          `delivery.secrets of this configuration has no ${unknown.join(', ')}: nothing can be signed before it has`,
        ]),
    ...(keepsTarget ? [`${before.queued} queued deliveries keep the target they were queued for`] : []),
  ];
}
