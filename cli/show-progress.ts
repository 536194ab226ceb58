import { Listr, ListrLogger, type ListrTask, ProcessOutput } from 'listr2';
import type { StepStatus } from '../contracts/macro-run.ts';
import { colours, note } from './print.ts';
import type { RunView } from './run-view.ts';
import { sayDuration } from './say-duration.ts';
import { STATE_WORDS } from './step-table.ts';

/** Shows how a run moves, on stderr. */
export interface ProgressView {
  show(run: RunView): void;
  /** Ends what is drawn, so that plain lines can follow. */
  end(): Promise<void>;
}

/** A live step list on a terminal, plain lines elsewhere. */
export function progressView(): ProgressView {
  return process.stderr.isTTY === true && process.env.TERM !== 'dumb' ? liveView() : lineView();
}

const MOVING = new Set(['pending', 'running', 'waiting']);

/** One line for each change of a step. */
export function lineView(): ProgressView {
  const said = new Map<string, string>();
  return {
    show(run) {
      for (const step of run.steps) {
        const line = stepLine(step);
        const key = `${step.state} ${step.attempts}`;
        if (step.state === 'pending' || said.get(step.id) === key) continue;
        said.set(step.id, key);
        note(line);
      }
      const held =
        run.held === null || run.outcome !== null ? '' : `held by ${run.held.actor}: ${run.held.reason}`;
      if (held !== (said.get('') ?? '')) {
        said.set('', held);
        if (held !== '') note(held);
      }
    },
    end: () => Promise.resolve(),
  };
}

function stepLine(step: StepStatus): string {
  const time = MOVING.has(step.state) ? '' : ` (${sayDuration(step.undoDurationMs ?? step.durationMs)})`;
  const verdict = MOVING.has(step.state) || step.verdict === 'not_run' ? '' : ` ${step.verdict}`;
  const detail =
    step.detail === '' || MOVING.has(step.state) ? '' : `: ${step.detail.replaceAll(/\s+/g, ' ')}`;
  return `${step.id} ${STATE_WORDS[step.state]}${verdict}${time}${detail}`;
}

interface Turn {
  readonly promise: Promise<void>;
  readonly pass: () => void;
  readonly fail: (error: Error) => void;
  readonly say: { line: (text: string) => void };
}

/** The steps as a list whose current line moves; once the run turns back, plain lines say what is undone. */
function liveView(): ProgressView {
  let turns: Map<string, Turn> | undefined;
  let finished: Promise<unknown> = Promise.resolve();
  const after = lineView();
  const begin = (run: RunView) => {
    turns = new Map(run.steps.map((step) => [step.id, newTurn()]));
    finished = draw(run, turns)
      .run()
      .catch(() => undefined);
  };
  const settle = () => {
    for (const turn of turns?.values() ?? []) turn.pass();
  };
  return {
    show(run) {
      if (turns === undefined && run.steps.length > 0) begin(run);
      const goesBack =
        run.phase === 'rollback' ||
        run.phase === 'disable' ||
        (run.outcome !== null && run.outcome !== 'succeeded');
      for (const step of run.steps) {
        const turn = turns?.get(step.id);
        if (turn === undefined) continue;
        turn.say.line(step.state === 'waiting' ? 'waits for a person' : step.detail);
        if (step.state === 'failed' && goesBack) turn.fail(new Error(step.detail));
        else if (!MOVING.has(step.state) && step.state !== 'failed') turn.pass();
      }
      if (goesBack) {
        settle();
        void finished.then(() =>
          after.show({ ...run, steps: run.steps.filter((step) => step.state.startsWith('und')) }),
        );
      }
    },
    async end() {
      settle();
      await finished;
    },
  };
}

function draw(run: RunView, turns: ReadonlyMap<string, Turn>): Listr {
  const tasks = run.steps.map(
    (step): ListrTask => ({
      title: `${step.id}  ${colours().dim(step.title)}`,
      task: (_, task) => {
        const turn = turns.get(step.id);
        if (turn === undefined) return;
        turn.say.line = (text) => {
          task.output = text;
        };
        return turn.promise;
      },
    }),
  );
  const logger = new ListrLogger({ processOutput: new ProcessOutput(process.stderr, process.stderr) });
  return new Listr(tasks, {
    concurrent: false,
    exitOnError: false,
    registerSignalListeners: false,
    rendererOptions: {
      logger,
      collapseSubtasks: false,
      timer: { condition: true, field: (ms: number) => sayDuration(ms) },
    },
  } as ConstructorParameters<typeof Listr>[1]);
}

function newTurn(): Turn {
  let pass: () => void = () => undefined;
  let fail: (error: Error) => void = () => undefined;
  const promise = new Promise<void>((resolve, reject) => {
    pass = resolve;
    fail = reject;
  });
  promise.catch(() => undefined);
  return { promise, pass, fail, say: { line: () => undefined } };
}
