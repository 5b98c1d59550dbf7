// The benchmark's three-task process as a Restate service: three durable steps, each of which
// POSTs the payload to one HTTP service over a kept connection and goes on with the answer.
// Arguments: PORT URL1 URL2 URL3. It prints `ready PORT` once it listens.
import http from "node:http";
import * as restate from "@restatedev/restate-sdk";

const [port, ...urls] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: 256, noDelay: true });

/** POSTs `body` as JSON and resolves to the parsed answer; any other status than 200 rejects. */
function call(url, body) {
  return new Promise((resolve, reject) => {
    const data = JSON.stringify(body);
    const request = http.request(
      url,
      {
        agent,
        method: "POST",
        headers: { "content-type": "application/json", "content-length": Buffer.byteLength(data) },
      },
      (answer) => {
        const parts = [];
        answer.on("data", (part) => parts.push(part));
        answer.on("error", reject);
        answer.on("end", () => {
          if (answer.statusCode !== 200) {
            reject(new Error(`${url} answered ${answer.statusCode}`));
          } else {
            resolve(JSON.parse(Buffer.concat(parts).toString("utf8")));
          }
        });
      },
    );
    request.on("error", reject);
    request.end(data);
  });
}

const three = restate.service({
  name: "three",
  handlers: {
    run: async (ctx, input) => {
      let payload = input;
      for (const [index, url] of urls.entries()) {
        const current = payload;
        payload = await ctx.run(`task${index + 1}`, () => call(url, current));
      }
      return payload;
    },
  },
});

await restate.serve({ services: [three], port: Number(port) });
console.log(`ready ${port}`);
