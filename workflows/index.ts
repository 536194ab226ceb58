/** Workflows of the engine and of the packages that ship with it; the worker bundles this file. */
export { deliver } from './deliver.ts';
export { drain } from './drain.ts';
export { macro } from './macro.ts';
export { replayByPolicy } from './replay-by-policy.ts';
export { replayDeadLetters } from './replay-dead-letters.ts';
export { retention } from './retention.ts';
export { undoMacro } from './undo-macro.ts';
