import { readFile } from 'node:fs/promises';
import { z } from 'zod';

const FIGURES = z.record(z.string(), z.number());

const RESULT = z.object({
  rounds: z.array(FIGURES).min(1),
  median: FIGURES,
  ratios: FIGURES,
  held: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
  settings: z.record(z.string(), z.union([z.string(), z.number()])),
});

/** What a benchmark printed with `--json`. */
export type Result = z.infer<typeof RESULT>;

/** @throws Error that names the file where it is no such result */
export async function readResult(path: string): Promise<Result> {
  try {
    return RESULT.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    throw new Error(`${path} holds no result of a benchmark (npm run --silent bench -- NAME --json)`, {
      cause: error,
    });
  }
}
