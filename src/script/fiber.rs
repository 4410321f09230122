//! The stacks that scripts run on: a function that must wait parks its script, and the worker goes on.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

/// Bytes of address space for one stack, of which only touched pages are resident. Rhai needs more than 32 KB.
const STACK: usize = 2 * 1024 * 1024;

/// Stacks kept for the next scripts; more are given back to the system.
const POOL: usize = 256;

thread_local! {
    /// The running fiber's way back to the driver; null outside of one.
    static YIELDER: Cell<*const Yielder<Waker, ()>> = const { Cell::new(std::ptr::null()) };

    /// What wakes the task that polls the running fiber; none before its first wait and outside of one.
    static WAKER: Cell<Option<Waker>> = const { Cell::new(None) };
}

/// Stacks that wait for the next script; one pool per worker.
#[derive(Clone, Default)]
pub struct Stacks(Rc<RefCell<Vec<DefaultStack>>>);

/// A job on a stack of its own; as a future it ends with what the job gave back.
pub struct Fiber<T: 'static> {
    coroutine: Option<Coroutine<Waker, (), Result<T, Panicked>>>,
    stacks: Stacks,
}

/// The job panicked, which is a bug of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panicked(pub String);

impl Stacks {
    fn take(&self) -> io::Result<DefaultStack> {
        match self.0.borrow_mut().pop() {
            Some(stack) => Ok(stack),
            None => DefaultStack::new(STACK),
        }
    }

    fn give_back(&self, stack: DefaultStack) {
        let mut pool = self.0.borrow_mut();
        if pool.len() < POOL {
            pool.push(stack);
        }
    }
}

impl<T: 'static> Fiber<T> {
    /// A fiber that will run `job`; an error when the system has no memory for a stack.
    pub fn new(stacks: &Stacks, job: impl FnOnce() -> T + 'static) -> io::Result<Self> {
        let stack = stacks.take()?;
        let coroutine = Coroutine::with_stack(stack, move |yielder: &Yielder<Waker, ()>, _| {
            let yielder: *const Yielder<Waker, ()> = yielder;
            YIELDER.set(yielder);
            // Nothing of the job is seen again after a panic.
            catch_unwind(AssertUnwindSafe(job)).map_err(|panic| Panicked(text_of(&*panic)))
        });
        Ok(Self { coroutine: Some(coroutine), stacks: stacks.clone() })
    }

    /// Runs the job until it ends or must wait for the first time.
    ///
    /// When it waits, the fiber must be polled as a future from then on.
    pub fn start(&mut self) -> Poll<Result<T, Panicked>> {
        self.resume(Waker::noop().clone())
    }

    fn resume(&mut self, waker: Waker) -> Poll<Result<T, Panicked>> {
        let coroutine = self.coroutine.as_mut().expect("a fiber that has ended is not polled");
        let outer = (YIELDER.get(), WAKER.replace(Some(waker.clone())));
        let result = coroutine.resume(waker);
        YIELDER.set(outer.0);
        WAKER.set(outer.1);
        match result {
            CoroutineResult::Yield(()) => Poll::Pending,
            CoroutineResult::Return(result) => {
                if let Some(coroutine) = self.coroutine.take() {
                    self.stacks.give_back(coroutine.into_stack());
                }
                Poll::Ready(result)
            }
        }
    }
}

impl<T: 'static> Future for Fiber<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.resume(context.waker().clone())
    }
}

/// Waits inside a fiber until `future` is ready.
///
/// # Panics
/// Outside of a fiber, when the future is not ready at once.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut waker = running_waker();
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        waker = suspend();
    }
}

/// The waker of the task that polls the running fiber.
fn running_waker() -> Waker {
    let waker = WAKER.take().unwrap_or_else(|| Waker::noop().clone());
    WAKER.set(Some(waker.clone()));
    waker
}

/// Parks the running fiber; gives the waker of the task that polls it next.
#[expect(unsafe_code, reason = "a yielder cannot be stored with its lifetime; see the proof")]
fn suspend() -> Waker {
    let yielder = YIELDER.get();
    assert!(!yielder.is_null(), "only a fiber can wait");
    // SAFETY: the pointer was set by the fiber that runs now, from the reference that lives as long as the
    // fiber's own stack: `resume` saves and restores the pointer around every switch, and the line
    // below sets it again after this fiber is resumed. The yielder never leaves this thread.
    let waker = unsafe { &*yielder }.suspend(());
    YIELDER.set(yielder);
    waker
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    /// A future that is ready once a flag is set.
    fn flag(flag: Rc<AtomicBool>) -> impl Future<Output = u8> {
        std::future::poll_fn(move |_| match flag.load(Ordering::Relaxed) {
            true => Poll::Ready(7),
            false => Poll::Pending,
        })
    }

    fn poll<T>(fiber: &mut Fiber<T>) -> Poll<Result<T, Panicked>> {
        Pin::new(fiber).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_job_that_does_not_wait_ends_at_once() {
        let stacks = Stacks::default();
        let mut fiber = Fiber::new(&stacks, || 1 + 1).unwrap();
        assert_eq!(fiber.start(), Poll::Ready(Ok(2)));
        assert_eq!(stacks.0.borrow().len(), 1, "its stack waits for the next");
    }

    #[test]
    fn fibers_that_wait_do_not_disturb_each_other() {
        let stacks = Stacks::default();
        let ready = [Rc::new(AtomicBool::new(false)), Rc::new(AtomicBool::new(false))];
        let mut fibers = ready.clone().map(|ready| {
            Fiber::new(&stacks, move || wait(flag(ready.clone())) + wait(flag(ready))).unwrap()
        });
        assert!(fibers.iter_mut().all(|fiber| fiber.start().is_pending()));
        ready[1].store(true, Ordering::Relaxed);
        assert!(poll(&mut fibers[0]).is_pending());
        assert_eq!(poll(&mut fibers[1]), Poll::Ready(Ok(14)));
        ready[0].store(true, Ordering::Relaxed);
        assert_eq!(poll(&mut fibers[0]), Poll::Ready(Ok(14)));
    }

    /// A waker that counts.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn every_wait_of_a_job_is_woken() {
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..3).map(|_| tokio::sync::oneshot::channel::<()>()).unzip();
        let job = move || receivers.into_iter().map(wait).filter(Result::is_ok);
        let mut fiber = Fiber::new(&Stacks::default(), move || job().count()).unwrap();
        assert!(fiber.start().is_pending());
        let count = Arc::<Count>::default();
        let waker = Waker::from(count.clone());
        let mut poll = || Pin::new(&mut fiber).poll(&mut Context::from_waker(&waker));
        assert!(poll().is_pending());
        for (sent, sender) in senders.into_iter().enumerate() {
            sender.send(()).unwrap();
            assert_eq!(count.0.load(Ordering::Relaxed), sent + 1);
            assert_eq!(poll(), if sent == 2 { Poll::Ready(Ok(3)) } else { Poll::Pending });
        }
    }

    #[test]
    fn a_panic_ends_the_fiber_only() {
        let mut fiber = Fiber::new(&Stacks::default(), || panic!("no {}", "good")).unwrap();
        let ended: Poll<Result<(), _>> = fiber.start();
        assert_eq!(ended, Poll::Ready(Err(Panicked("no good".to_owned()))));
    }

    #[test]
    fn a_parked_fiber_may_be_dropped() {
        let dropped = Rc::new(());
        let held = dropped.clone();
        let mut fiber = Fiber::new(&Stacks::default(), move || {
            let _held = held;
            wait(std::future::pending::<()>());
        });
        assert!(fiber.as_mut().unwrap().start().is_pending());
        drop(fiber);
        assert_eq!(Rc::strong_count(&dropped), 1, "its stack was unwound");
    }
}
