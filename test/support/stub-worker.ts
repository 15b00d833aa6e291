/** A process with a worker whose pipeline is a stub, which ends itself without a word at one picture: URL, fleet, root, that picture's first byte. */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { UriRules } from '../../src/queue/uri-rules.ts';
import { startFleetWorker } from '../../src/queue/worker.ts';
import { stubModel } from './fleet.ts';

const [redis = '', queue = '', root = '', poison = ''] = process.argv.slice(2);
const run = ({ image }: { image: unknown }): void => {
  const [, , , first] = (image as { data: Uint8Array }).data;
  if (String(first) === poison) process.kill(process.pid, 'SIGKILL');
};
await startFleetWorker({
  ...{ redis, queue, output: join(root, 'out'), program: '0', lockMs: 1000 },
  models: [stubModel('stub', run)],
  rules: new UriRules({ allow: [pathToFileURL(root).href] }),
});
