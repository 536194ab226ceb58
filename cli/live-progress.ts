import { Listr, ListrLogger, type ListrTask, ProcessOutput } from 'listr2';
import type { StepStatus } from '../contracts/macro-run.ts';
import { colours } from './print.ts';
import { sayDuration } from './say-duration.ts';
import { isMoving, lineProgress, type ProgressView } from './show-progress.ts';

/** A step's place in the list; `task` is there once the list has come to it. */
interface Place {
  step: StepStatus;
  task: Parameters<ListrTask['task']>[1] | null;
  readonly over: Promise<void>;
  /** Goes on to the next place; an error marks the step as failed. */
  readonly leave: (error?: Error) => void;
}

/** The steps as a list whose current line moves, on stderr; once the run turns back, lines say what is undone. */
export function liveProgress(): ProgressView {
  const places = new Map<string, Place>();
  const undone = lineProgress();
  let list: Promise<unknown> | undefined;
  const leaveAll = () => {
    for (const place of places.values()) place.leave();
    return list;
  };
  return {
    show(run) {
      for (const step of run.steps) {
        const place = places.get(step.id) ?? newPlace(step);
        places.set(step.id, place);
        place.step = step;
        draw(place);
      }
      if (places.size > 0) list ??= listOf([...places.values()]).run();
      const isTurningBack =
        ['rollback', 'disable', 'ended'].includes(run.phase) && run.outcome !== 'succeeded';
      const changed = run.steps.filter((step) => step.state.startsWith('und'));
      for (const { step, leave } of places.values()) {
        if (isTurningBack && (step.state === 'failed' || step.verdict === 'fail'))
          leave(new Error(step.detail));
      }
      if (isTurningBack) void leaveAll()?.then(() => undone.show({ ...run, steps: changed }));
    },
    async end() {
      await leaveAll();
    },
  };
}

/** Shows the place as its step is now, and leaves it where the step is over. */
function draw(place: Place): void {
  const { step, task } = place;
  if (task === null) return;
  task.title = titleOf(step);
  if (step.state === 'waiting') task.output = 'waits for a person';
  if (step.state === 'done' || step.state === 'already_applied') place.leave();
}

function listOf(places: readonly Place[]): Listr {
  const tasks = places.map(
    (place): ListrTask => ({
      title: titleOf(place.step),
      task: async (_, task) => {
        place.task = task;
        draw(place);
        await place.over;
        if (isMoving(place.step)) task.skip(`${place.step.id}  not over`);
      },
    }),
  );
  // What else is written to stderr meanwhile follows when the list has ended.
  const kept = { dump: ['stdout' as const], leaveEmptyLine: false };
  const logger = new ListrLogger({ processOutput: new ProcessOutput(process.stderr, process.stdout, kept) });
  return new Listr(tasks, {
    concurrent: false,
    exitOnError: false,
    registerSignalListeners: false,
    rendererOptions: { logger, collapseSkips: true, showErrorMessage: true },
  });
}

function newPlace(step: StepStatus): Place {
  let leave: (error?: Error) => void = () => undefined;
  const over = new Promise<void>((resolve, reject) => {
    leave = (error) => (error === undefined ? resolve() : reject(error));
  });
  over.catch(() => undefined);
  return { step, task: null, over, leave };
}

function titleOf(step: StepStatus): string {
  const { dim } = colours();
  const detail = step.detail.replaceAll(/\s+/g, ' ');
  const said = isMoving(step) ? step.title : `${detail} (${sayDuration(step.durationMs)})`;
  return `${step.id}  ${dim(said)}`;
}
