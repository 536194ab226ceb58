import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { drawBacklog } from './plot/draw-backlog.ts';
import { drawDelivery } from './plot/draw-delivery.ts';
import { drawDrain } from './plot/draw-drain.ts';
import { drawMemory } from './plot/draw-memory.ts';
import { drawReplay } from './plot/draw-replay.ts';
import { type Result, readResult } from './plot/result.ts';
import {
  backlogTable,
  deadEndpointTable,
  deliveryTable,
  drainTable,
  memoryTable,
  replayTable,
} from './plot/tables.ts';

interface Drawn {
  readonly draw: ((result: Result) => string) | null;
  readonly tabulate: (result: Result) => string;
  /** The result that it is a part of; by default one of its own name. */
  readonly of?: string;
}

/** Draws docs/performance/NAME.svg from a result where there is something to draw, and writes the table between its two marks in docs/performance.md. */
const DRAWN: Readonly<Record<string, Drawn>> = {
  drain: { draw: drawDrain, tabulate: drainTable },
  backlog: { draw: drawBacklog, tabulate: backlogTable },
  delivery: { draw: drawDelivery, tabulate: deliveryTable },
  'delivery-memory': {
    draw: (result) => drawMemory(result, { counted: 'deliveries', process: 'delivering process' }),
    tabulate: (result) => memoryTable(result, 'deliveries'),
  },
  'delivery-dead-endpoint': { draw: null, tabulate: deadEndpointTable },
  'replay-sql': {
    of: 'replay',
    draw: (result) => drawReplay('sql', result),
    tabulate: (result) => replayTable('sql', result),
  },
  'replay-http': {
    of: 'replay',
    draw: (result) => drawReplay('http', result),
    tabulate: (result) => replayTable('http', result),
  },
  'replay-memory': {
    draw: (result) => drawMemory(result, { counted: 'letters', process: 'replaying process' }),
    tabulate: (result) => memoryTable(result, 'letters'),
  },
};

const DOCS = join(import.meta.dirname, '../docs');
const PAGE = join(DOCS, 'performance.md');

let page = await readFile(PAGE, 'utf8');
for (const [name, { draw, tabulate, of = name }] of Object.entries(DRAWN)) {
  const source = join(DOCS, 'performance', `${of}.json`);
  const result = await readResult(source);
  await writeFile(source, `${JSON.stringify(result, null, 2)}\n`);
  if (draw !== null) await writeFile(join(DOCS, 'performance', `${name}.svg`), draw(result));
  page = between(page, name, tabulate(result));
}
await writeFile(PAGE, page);

/** @throws Error where the page has not the two marks */
function between(text: string, name: string, content: string): string {
  const [begin, end] = [`<!-- figures: ${name} -->`, `<!-- end of figures: ${name} -->`];
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${PAGE} has not the marks ${begin} and ${end}, in this order`);
  return `${text.slice(0, from)}${begin}\n\n${content}\n\n${text.slice(to)}`;
}
