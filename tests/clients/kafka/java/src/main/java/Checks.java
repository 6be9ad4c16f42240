import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/** Runs checks with a time limit each, and prints one line a check: {@code ok NAME} or {@code failed NAME: REASON}. */
final class Checks {
    /** A check that takes longer has failed. */
    private static final long CHECK_SECONDS = 120;
    /** Makes names unique, so that the programs can run again on the same broker. */
    private static final String RUN = UUID.randomUUID().toString().substring(0, 8);

    private int failures;

    interface Check {
        void run() throws Exception;
    }

    Checks(String version) {
        System.out.println("version " + version);
    }

    /** Returns a name of this run for a topic, group or transactional id. */
    static String name(String what) {
        return what + "-" + RUN;
    }

    void run(String check, Check body) {
        CompletableFuture<Void> done = new CompletableFuture<>();
        Thread thread = new Thread(() -> {
            try {
                body.run();
                done.complete(null);
            } catch (Throwable error) {
                done.completeExceptionally(error);
            }
        });
        thread.setDaemon(true);
        thread.start();
        try {
            done.get(CHECK_SECONDS, TimeUnit.SECONDS);
            System.out.println("ok " + check);
        } catch (Exception error) {
            thread.interrupt();
            failures++;
            Throwable cause = error.getCause() == null ? error : error.getCause();
            System.out.println("failed " + check + ": " + cause.toString().replaceAll("\\s+", " "));
            cause.printStackTrace();
        }
    }

    /** Ends the program: daemon threads of failed checks do not hold it. */
    void exit() {
        System.out.flush();
        Runtime.getRuntime().halt(failures == 0 ? 0 : 1);
    }

    static void same(Object found, Object expected, String what) {
        if (!java.util.Objects.equals(found, expected)) {
            throw new AssertionError(what + ": expected " + expected + ", found " + found);
        }
    }

    static void waitUntil(String what, BooleanSupplier condition) throws InterruptedException {
        waitUntil(what, 40, condition);
    }

    static void waitUntil(String what, int seconds, BooleanSupplier condition) throws InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds);
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > deadline) {
                throw new AssertionError(what + ": not within " + seconds + " s");
            }
            Thread.sleep(50);
        }
    }

    /** Fails unless the call fails with this exception, or with one that it caused. */
    static void fails(Class<? extends Throwable> kind, Callable<?> call) {
        try {
            call.call();
        } catch (Throwable error) {
            for (Throwable cause = error; cause != null; cause = cause.getCause()) {
                if (kind.isInstance(cause)) {
                    return;
                }
            }
            throw new AssertionError("expected " + kind.getSimpleName() + ", found " + error, error);
        }
        throw new AssertionError("succeeded, although " + kind.getSimpleName() + " was expected");
    }
}
