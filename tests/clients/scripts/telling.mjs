// How the scripts beside this one tell what they saw: one JSON object a line, {"saw": what, "value": …}.

export const [rpcUrl, wsUrl] = process.argv.slice(2);

const DEADLINE_S = 45;
setTimeout(() => {
  console.error(`not finished in ${DEADLINE_S} s`);
  process.exit(3);
}, DEADLINE_S * 1000).unref();

const plain = (_, value) => (typeof value === 'bigint' ? Number(value) : value);

export function saw(what, value = null) {
  console.log(JSON.stringify({ saw: what, value }, plain));
}

/** End a script whose sockets are still open, once all that it told is written. */
export function end() {
  process.stdout.write('', () => process.exit(0));
}

/** Tell what a promise brings, or how it fails, and go on either way. Returns what it brought. */
export async function look(what, ask) {
  try {
    const value = await ask();
    saw(what, value);
    return value;
  } catch (error) {
    const { name, message, code, logs, context } = error;
    const failed = error instanceof Error ? { name, message, code, logs, context } : { thrown: error };
    console.log(JSON.stringify({ saw: what, failed }, plain));
    return undefined;
  }
}

/** A callback to subscribe with, and the promise of the first thing it is called with that passes. */
export function hearing(what, passes = () => true, seconds = 15) {
  let listener;
  const heard = new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`${what}: nothing heard in ${seconds} s`)), seconds * 1000);
    listener = (...values) => {
      if (passes(...values)) {
        clearTimeout(late);
        resolve(values);
      }
    };
  });
  heard.catch(() => {}); // told where it is awaited
  return { listener, heard };
}
