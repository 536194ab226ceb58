import { cpuSeconds } from '../delivery/cpu-seconds.ts';
import type { Measured } from '../delivery/measure-contestant.ts';
import type { Contestant } from '../drain/contestant.ts';
import type { BenchServer } from '../drain/start-server.ts';
import { withClient } from '../drain/with-client.ts';

/**
 * One contestant that calls the function, from a fresh database that is dropped again.
 *
 * @throws Error unless exactly the letters that there were are done
 */
export async function measureLetters(
  server: BenchServer,
  contestant: Contestant,
  letters: number,
): Promise<Measured> {
  const url = server.urlOf('bench');
  const admin = (statement: string) => withClient(server.adminUrl, (client) => client.query(statement));
  await admin(`create database bench template ${contestant.template ?? 'template0'}`);
  try {
    await contestant.fill(url, letters);
    await withClient(url, (client) => client.query('vacuum analyze'));
    await admin('checkpoint');
    const before = await cpuSeconds(server);
    const seconds = await contestant.work(url, letters);
    const after = await cpuSeconds(server);
    const done = await withClient(url, contestant.done);
    if (done !== letters) throw new Error(`${contestant.name} did ${done} of ${letters} letters`);
    const micros = (from: number, to: number) => Math.round(((to - from) * 1_000_000) / letters);
    return {
      rate: Math.round(letters / seconds),
      nodeMicros: micros(before.node, after.node),
      postgresMicros: micros(before.postgres, after.postgres),
    };
  } finally {
    await admin('drop database bench with (force)');
  }
}
