import type { ReplayProgress } from '../contracts/replay.ts';
import type { ReplayPhase } from './replay-state.ts';

export interface ReplayDetails {
  readonly target: string;
  readonly phase: ReplayPhase;
  readonly because: string | null;
  readonly progress: ReplayProgress;
  /** Runs of the chain before this one. */
  readonly runs: number;
}

const WORDS: Readonly<Record<ReplayPhase, string>> = {
  opening: 'opening',
  replaying: 'replaying',
  held: 'held',
  cancelling: 'cancelling: what is in flight is settled, the rest stays open',
  cancelled: 'cancelled; the rest stays open, and a new run of the plan goes on',
  failed: 'failed; the rest stays open, and a new run of the plan goes on',
  executed: 'executed',
  canary_passed: 'the canary has passed; a new run goes on with the rest',
  stopped: 'stopped',
};

/** Markdown for the Temporal UI: how far it has come, who holds it and why, and how to steer it. No row data. */
export function renderReplayDetails(details: ReplayDetails): string {
  const { target, phase, because, progress, runs } = details;
  const plan = progress.planHash === '' ? '' : ` plan \`${progress.planHash.slice(0, 12)}\``;
  const chain = runs === 0 ? '' : `, continued as new ${runs} ${runs === 1 ? 'time' : 'times'}`;
  return [
    `Replay of dead letters of \`${target}\`,${plan}: **${WORDS[phase]}**${because === null ? '' : `: ${oneLine(because)}`}${chain}`,
    ...(phase === 'opening' ? [] : [table(progress), pace(progress)]),
    ...hold(phase, progress),
    ...(phase === 'replaying' || phase === 'held' ? [HOW_TO_STEER] : []),
  ].join('\n\n');
}

function table(progress: ReplayProgress): string {
  const { letters, resolved, failed, skipped, inFlight, waiting, tries } = progress;
  return [
    '| letters | resolved | failed | skipped | in flight | waiting | tries |',
    '| ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
    `| ${letters} | ${resolved} | ${failed} | ${skipped} | ${inFlight} | ${waiting} | ${tries} |`,
  ].join('\n');
}

function pace({ canary, ratePerSecond }: ReplayProgress): string {
  const rate = ratePerSecond === null ? 'as fast as it goes' : `${ratePerSecond} letters a second at most`;
  return `Canary: ${canary}. Rate: ${rate}.`;
}

function hold(phase: ReplayPhase, { heldBy, heldBecause }: ReplayProgress): string[] {
  if (phase !== 'held') return [];
  const by = heldBy === null ? '' : ` by ${oneLine(heldBy)}`;
  return [`**Held**${by}: ${oneLine(heldBecause ?? '')}`];
}

const HOW_TO_STEER = [
  '**Safe now:** Cancel stops it within one batch; what is not replayed stays open. So do the updates `hold`, `release`, `setRate` (with `"ratePerSecond"`) and `skip` (with `"route"`, `"fingerprint"` or `"ids"`). Each takes:',
  // The UI's frame hides the last line of a block, so the block ends with an empty one.
  '```json\n{\n  "actor": "YOUR NAME",\n  "reason": "WHY"\n}\n\n```',
].join('\n\n');

/** One line of Markdown, at most 200 characters. */
function oneLine(text: string): string {
  const flat = text.replaceAll(/\s+/g, ' ').replaceAll('|', '/');
  return flat.length > 200 ? `${flat.slice(0, 199)}…` : flat;
}
