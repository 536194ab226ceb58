import { userInfo } from 'node:os';
import type { ControlInput } from '../contracts/control.ts';
import { valueOrAsk } from './ask.ts';
import type { ChangeOptions } from './options.ts';
import { note } from './print.ts';

/** Who acts, as claimed: `--actor`, else `SLUICE_ACTOR`, else the user of this machine, which is said on stderr. */
export function actorOf(options: Pick<ChangeOptions, 'actor'>, env: NodeJS.ProcessEnv): string {
  if (options.actor !== undefined && options.actor.trim() !== '') return options.actor;
  if (env.SLUICE_ACTOR) return env.SLUICE_ACTOR;
  const { username } = userInfo();
  note(`acting as ${username}, the user of this machine; --actor or SLUICE_ACTOR names somebody else`);
  return username;
}

/** Who acts and why. @throws SluiceError `usage` where no reason is given and nobody can be asked */
export async function controlOf(options: ChangeOptions, env: NodeJS.ProcessEnv): Promise<ControlInput> {
  const reason = await valueOrAsk(options.reason, '--reason', 'why is this done?');
  const actor = actorOf(options, env);
  return { actor, reason, ...(options.ticket === undefined ? {} : { ticket: options.ticket }) };
}
