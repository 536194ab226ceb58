/** The checkout that these scripts belong to. */
export const root: string;
export function demandNode(): void;
export function installPackages(): void;
export function packagesAreCurrent(): boolean;
export function fail(reason: string, exitCode: number): never;
