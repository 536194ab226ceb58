import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';

/** One wording of this project's own documents, as a folder. */
export interface DocumentPoint {
  readonly dir: string;
  /** Where the wording comes from: a commit, or the working tree. */
  readonly origin: string;
}

const DOCUMENTS = ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'docs'];

/**
 * Lays out the project's documents at two points of their git history: the first commit that has them, and the
 * last. Without a history that has two (a downloaded archive, a shallow clone), the earlier point is the working
 * tree with the last paragraph of each section left out, as a draft of it would be.
 *
 * @param root of the checkout
 * @param into a folder of the caller's, made when it is absent
 */
export async function documentPoints(
  root: string,
  into: string,
): Promise<readonly [DocumentPoint, DocumentPoint]> {
  const earlier = join(into, 'earlier');
  const later = join(into, 'later');
  await Promise.all([mkdir(earlier, { recursive: true }), mkdir(later, { recursive: true })]);
  const commits = await commitsOf(root);
  const [first, last] = [commits.at(-1), commits[0]];
  if (first !== undefined && last !== undefined && first !== last) {
    await layOut(root, first, earlier);
    await layOut(root, last, later);
    return [
      { dir: earlier, origin: `commit ${first.slice(0, 10)}` },
      { dir: later, origin: `commit ${last.slice(0, 10)}` },
    ];
  }
  for (const name of DOCUMENTS) {
    for (const dir of [earlier, later]) await cp(join(root, name), join(dir, name), { recursive: true });
  }
  for (const file of await readdir(earlier, { recursive: true })) {
    if (file.endsWith('.md')) await leaveOutLastParagraphs(join(earlier, file));
  }
  return [
    { dir: earlier, origin: 'working tree, last paragraphs left out' },
    { dir: later, origin: 'working tree' },
  ];
}

/** Commits that touched the documents, the newest first; none where there is no history. */
async function commitsOf(root: string): Promise<string[]> {
  const log = await execa('git', ['log', '--format=%H', '--', 'docs'], { cwd: root, reject: false });
  return log.exitCode === 0 ? log.stdout.split('\n').filter((line) => line !== '') : [];
}

async function layOut(root: string, commit: string, dir: string): Promise<void> {
  const listed = await execa('git', ['ls-tree', '--name-only', commit, ...DOCUMENTS], { cwd: root });
  const archive = execa('git', ['archive', commit, ...listed.stdout.split('\n')], {
    cwd: root,
    encoding: 'buffer',
    stdout: 'pipe',
  });
  await archive.pipe('tar', ['-x', '-C', dir]);
}

async function leaveOutLastParagraphs(file: string): Promise<void> {
  const sections = (await readFile(file, 'utf8')).split(/\n(?=## )/);
  const shortened = sections.map((section) => {
    const paragraphs = section.trimEnd().split('\n\n');
    return paragraphs.length < 3 ? section : `${paragraphs.slice(0, -1).join('\n\n')}\n`;
  });
  await writeFile(file, shortened.join('\n'));
}
