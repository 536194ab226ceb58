import type { ReplayControl } from '../contracts/replay.ts';
import { controlOf } from './actor.ts';
import type { ChangeOptions } from './options.ts';

/** Who acts and why, with the ticket as part of the reason. @throws SluiceError `usage` without a reason */
export async function replayControlOf(
  options: ChangeOptions,
  env: NodeJS.ProcessEnv,
): Promise<ReplayControl> {
  const { actor, reason, ticket } = await controlOf(options, env);
  return { actor, reason: ticket === undefined ? reason : `${reason} (${ticket})` };
}
