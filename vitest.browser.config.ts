/** Kernel tests once more, in a page of headless Chromium: its own Dawn, on SwiftShader. `npx vitest --config` this file. */
import { playwright } from '@vitest/browser-playwright';
import { defineConfig } from 'vitest/config';
import { CHROMIUM_FLAGS, chromiumPath } from './test/support/chromium.ts';
import { wgslAsText } from './vitest.config.ts';

const executablePath = chromiumPath();

/** test/support/gpu.ts asks Node's Dawn for devices; in a page its twin asks the browser. */
const pageDevice = {
  name: 'page-device',
  enforce: 'pre' as const,
  resolveId(id: string) {
    return /(^|\/)gpu\.ts$/.test(id) && !id.includes('/tensor/')
      ? new URL('test/support/gpu-page.ts', import.meta.url).pathname
      : null;
  },
};

export default defineConfig({
  plugins: [wgslAsText, pageDevice],
  test: {
    name: 'browser',
    include: ['test/kernels/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      provider: playwright({ launchOptions: { executablePath, args: [...CHROMIUM_FLAGS] } }),
      instances: [{ browser: 'chromium' }],
    },
  },
});
