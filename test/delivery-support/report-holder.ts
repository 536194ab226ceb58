import { holdReport } from '../../delivery/report/hold-report.ts';

/** Holds the lock that is its argument until it is killed. */
await holdReport(process.argv[2] ?? '', () => {
  process.stdout.write('held\n');
  return new Promise(() => setInterval(() => undefined, 60_000));
});
