import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { ReportFault } from './report-fault.ts';

const { O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants;

/**
 * Opens a file of ours to read it and to append to it, and makes it where it is missing, for its owner alone. A link
 * is not followed, and a pipe or a device is refused.
 */
export function openOwnFile(path: string): Promise<FileHandle> {
  return openAsFile(path, O_CREAT);
}

/** The same, and null where the file is missing. */
export async function openOwnFileIfThere(path: string): Promise<FileHandle | null> {
  return openAsFile(path, 0).catch((error: unknown) => {
    if (Object(error).code === 'ENOENT') return null;
    throw error;
  });
}

async function openAsFile(path: string, flags: number): Promise<FileHandle> {
  const file = await open(path, O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | flags, 0o600);
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw new ReportFault('report_unwritable', 'Something that is no file stands in the place of the report.');
}

/** Appends all of the bytes: a write that is cut short by a full disk is followed by one that says so. */
export async function appendAll(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten;
}

/** Makes the name of a new file as durable as its content. */
export async function syncFolder(dir: string): Promise<void> {
  const folder = await open(dir, constants.O_RDONLY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
