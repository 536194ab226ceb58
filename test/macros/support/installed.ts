import { type TestEngine, testEngine } from '../../support/engine.ts';
import { documents } from './documents.ts';
import type { OwnServer } from './own-server.ts';
import { runShipped, type ShippedMacro } from './shipped-macros.ts';

/**
 * Builds a database by the macros named, six units in it, and returns its name, to be cloned: each clone is an
 * installation of its own, its engine's record included.
 *
 * @param upon template that it starts from
 */
export async function installedTemplate(
  server: OwnServer,
  macros: readonly ShippedMacro[] = ['iu-core-base', 'event-worker'],
  upon?: string,
): Promise<string> {
  const engine = await testEngine({ database: await server.create(upon) });
  const library = await documents();
  for (const macro of macros) {
    const { outcome, cause } = await runShipped(engine, macro);
    if (outcome !== 'succeeded') throw new Error(`${macro}: ${outcome}, ${cause}`);
    if (macro === 'iu-core-base') await library.edit(engine.sql);
  }
  await engine.close();
  await library.remove();
  return engine.target;
}

/** An engine on a clone of an installed template, and its documents' next editions. */
export async function installedEngine(
  server: OwnServer,
  template: string,
  options: Omit<Parameters<typeof testEngine>[0] & object, 'database'> = {},
): Promise<TestEngine & { readonly edit: () => Promise<unknown> }> {
  const engine = await testEngine({ ...options, database: await server.create(template) });
  const library = await documents({ edition: 1 });
  return {
    ...engine,
    edit: () => library.edit(engine.sql),
    async close() {
      await engine.close();
      await library.remove();
    },
  };
}
