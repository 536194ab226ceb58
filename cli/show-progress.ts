import type { StepStatus } from '../contracts/macro-run.ts';
import type { OutputFormat } from './options.ts';
import { note } from './print.ts';
import type { RunView } from './run-view.ts';
import { sayDuration } from './say-duration.ts';
import { STATE_WORDS } from './step-table.ts';

/** Shows how a run moves, on stderr. */
export interface ProgressView {
  show(run: RunView): void;
  /** Ends what is drawn, so that plain lines can follow. */
  end(): Promise<void>;
}

/** A live step list on a terminal, plain lines elsewhere and where stdout is written to meanwhile (JSON Lines). */
export async function progressView(output: OutputFormat): Promise<ProgressView> {
  const { isTTY, columns } = process.stderr;
  const canDraw = isTTY === true && columns > 0 && process.env.TERM !== 'dumb' && output !== 'jsonl';
  return canDraw ? (await import('./live-progress.ts')).liveProgress() : lineProgress();
}

/** Whether the step has not come to its end. */
export function isMoving({ state }: StepStatus): boolean {
  return state === 'pending' || state === 'running' || state === 'waiting';
}

/** One line for each change of a step. */
export function lineProgress(): ProgressView {
  const said = new Map<string, string>();
  return {
    show(run) {
      for (const step of run.steps) {
        const key = `${step.state} ${step.attempts}`;
        if (step.state === 'pending' || said.get(step.id) === key) continue;
        said.set(step.id, key);
        note(stepLine(step));
      }
      const held =
        run.held === null || run.outcome !== null ? '' : `held by ${run.held.actor}: ${run.held.reason}`;
      if (held === (said.get('') ?? '')) return;
      said.set('', held);
      if (held !== '') note(held);
    },
    end: () => Promise.resolve(),
  };
}

function stepLine(step: StepStatus): string {
  if (isMoving(step)) return `${step.id} ${STATE_WORDS[step.state]}`;
  const time = sayDuration(step.undoDurationMs ?? step.durationMs);
  const verdict = step.verdict === 'not_run' ? '' : ` ${step.verdict}`;
  const detail = step.detail === '' ? '' : `: ${step.detail.replaceAll(/\s+/g, ' ')}`;
  return `${step.id} ${STATE_WORDS[step.state]}${verdict} (${time})${detail}`;
}
