// Kernels by name, called with arguments whose number, kinds and types are checked.
#pragma once
#include <map>
#include <tuple>
#include <utility>

#include "launch.h"

// What a caller passes.
struct EmulatedArgument {
    int32_t kind;    // an emulator::Kind
    int32_t type;    // of the elements or the value: an emulator::Type
    void* data;      // an array's first element, a list's arrays (as EmulatedArguments), or where the value lies
    int64_t length;  // elements of an array, arrays of a list
};

namespace emulator {

enum Kind : int32_t { ARRAY, LIST, VALUE };
enum Type : int32_t { F32, BF16, U8, U32, I32, U64 };
template <class T> constexpr Type type_of() {
    if constexpr (std::is_same_v<T, float>) return F32;
    else if constexpr (std::is_same_v<T, bf16>) return BF16;
    else if constexpr (std::is_same_v<T, u8>) return U8;
    else if constexpr (std::is_same_v<T, u32>) return U32;
    else if constexpr (std::is_same_v<T, int>) return I32;
    else return U64;
}

inline size_t size_of(int32_t type) {
    constexpr size_t sizes[] = {4, 2, 1, 4, 4, 8};
    return sizes[type];
}

// Whether two arguments share memory. Compilers of devices are promised that what a launch writes is nothing else of it.
inline bool overlap(const EmulatedArgument& a, const EmulatedArgument& b) {
    if (a.kind == LIST) {
        const auto* items = static_cast<const EmulatedArgument*>(a.data);
        return std::any_of(items, items + a.length, [&](const EmulatedArgument& item) { return overlap(item, b); });
    }
    if (b.kind == LIST) return overlap(b, a);
    if (a.kind == VALUE || b.kind == VALUE) return false;
    const char *first = static_cast<const char*>(a.data), *second = static_cast<const char*>(b.data);
    return first < second + b.length * size_of(b.type) && second < first + a.length * size_of(a.type);
}

// Launches with fewer elements than this are searched for races through global memory, which needs 16 times their memory.
constexpr int64_t RACES_UP_TO = 1 << 22;

// The shadows of a launch's arrays: one for arrays that overlap.
class Shadows {
  public:
    void add(const EmulatedArgument& array, size_t size) {
        const char* begin = static_cast<const char*>(array.data);
        ranges.push_back({begin, begin + array.length * size, {}});
    }
    void allocate() {
        std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
        std::vector<Range> merged;
        int64_t bytes = 0;
        for (Range& range : ranges) {
            if (!merged.empty() && range.begin < merged.back().end) merged.back().end = std::max(merged.back().end, range.end);
            else merged.push_back({range.begin, range.end, {}});
        }
        ranges = std::move(merged);
        for (const Range& range : ranges) bytes += range.end - range.begin;
        if (!CHECKED || bytes / 4 > RACES_UP_TO) ranges.clear();
        // Zeroed pages cost nothing until they are touched.
        for (Range& range : ranges) {
            const size_t units = (range.end - range.begin) / 2 + 1;
            range.shadow.reset(static_cast<Shadow*>(std::calloc(units, sizeof(Shadow))));
        }
    }
    Shadow* of(const void* data) const {
        const char* at = static_cast<const char*>(data);
        for (const Range& range : ranges)
            if (range.begin <= at && at < range.end) return range.shadow.get() + (at - range.begin) / 2;
        return nullptr;
    }

  private:
    struct Free {
        void operator()(Shadow* shadow) const { std::free(shadow); }
    };
    struct Range {
        const char *begin, *end;
        std::unique_ptr<Shadow, Free> shadow;
    };
    std::vector<Range> ranges;
};

template <class T> struct List {
    std::vector<Array<T>> arrays;
    Array<T> operator[](int64_t i) const {
        if (i < 0 || i >= int64_t(arrays.size()))
            stop("touches array " + std::to_string(i) + " of a list of " + std::to_string(arrays.size()));
        return arrays[i];
    }
};

// How an argument becomes a parameter of the type.
template <class T> struct Parameter {
    static constexpr Kind kind = VALUE;
    static constexpr bool writes = false;
    using Element = T;
    static T from(const EmulatedArgument& a, const Shadows&, const char*) {
        T value;
        std::memcpy(&value, a.data, sizeof value);
        return value;
    }
};
template <class T> struct Parameter<Array<T>> {
    static constexpr Kind kind = ARRAY;
    static constexpr bool writes = !std::is_const_v<T>;
    using Element = std::remove_const_t<T>;
    static Array<T> from(const EmulatedArgument& a, const Shadows& shadows, const char* name) {
        return {static_cast<T*>(a.data), 0, a.length, shadows.of(a.data), false, name};
    }
};
template <class T> struct Parameter<const List<T>&> {
    static constexpr Kind kind = LIST;
    static constexpr bool writes = !std::is_const_v<T>;
    using Element = std::remove_const_t<T>;
    static List<T> from(const EmulatedArgument& a, const Shadows& shadows, const char* name) {
        List<T> list;
        for (int64_t i = 0; i < a.length; ++i)
            list.arrays.push_back(Parameter<Array<T>>::from(static_cast<const EmulatedArgument*>(a.data)[i], shadows, name));
        return list;
    }
};

// The names in "IN(0, float, x) VALUE(1, int, cols)".
inline std::vector<std::string> names_in(const std::string& arguments) {
    std::vector<std::string> names;
    for (size_t end = arguments.find(')'); end != std::string::npos; end = arguments.find(')', end + 1)) {
        const size_t begin = arguments.find_last_of(", (", end - 1) + 1;
        names.push_back(arguments.substr(begin, end - begin));
    }
    return names;
}

struct Kernel {
    std::vector<std::string> names;
    std::function<std::string(const Kernel&, const Grid&, uint64_t, const EmulatedArgument*, size_t)> run;
};

inline std::map<std::string, Kernel>& kernels() {
    static std::map<std::string, Kernel> all;
    return all;
}

template <class P> std::string check(const EmulatedArgument& a, const std::string& name) {
    using E = typename Parameter<P>::Element;
    if (a.kind != Parameter<P>::kind) return "argument " + name + " is of kind " + std::to_string(a.kind) + ", expected " + std::to_string(Parameter<P>::kind);
    const int count = a.kind == LIST ? int(a.length) : 1;
    for (int i = 0; i < count; ++i) {
        const EmulatedArgument& item = a.kind == LIST ? static_cast<const EmulatedArgument*>(a.data)[i] : a;
        if (item.type != type_of<E>()) return "argument " + name + " has elements of type " + std::to_string(item.type) + ", expected " + std::to_string(type_of<E>());
    }
    return "";
}

struct Registered {
    template <class... P> Registered(const char* name, const char* arguments, void (*kernel)(P...)) {
        kernels()[name] = {names_in(arguments), [kernel](const Kernel& self, const Grid& grid, uint64_t seed, const EmulatedArgument* a, size_t count) {
            return call(kernel, self, grid, seed, a, count, std::make_index_sequence<sizeof...(P) - 1>());
        }};
    }

    // The last parameter of a kernel only ends its list of parameters.
    template <class... P, size_t... I>
    static std::string call(void (*kernel)(P...), const Kernel& self, const Grid& grid, uint64_t seed, const EmulatedArgument* a, size_t count, std::index_sequence<I...>) {
        using All = std::tuple<P...>;
        if (count != sizeof...(I)) return "got " + std::to_string(count) + " arguments, expected " + std::to_string(sizeof...(I));
        std::string wrong;
        ((wrong = wrong.empty() ? check<std::tuple_element_t<I, All>>(a[I], self.names[I]) : wrong), ...);
        if (!wrong.empty()) return wrong;
        const bool writes[] = {Parameter<std::tuple_element_t<I, All>>::writes..., false};
        for (size_t i = 0; i < count; ++i)
            for (size_t j = 0; j < count; ++j)
                if (writes[i] && i != j && overlap(a[i], a[j]))
                    return "argument " + self.names[i] + " is written and overlaps with " + self.names[j];
        Shadows shadows;
        for (size_t i = 0; i < count; ++i) {
            const int items = a[i].kind == LIST ? int(a[i].length) : a[i].kind == ARRAY;
            const EmulatedArgument* first = a[i].kind == LIST ? static_cast<const EmulatedArgument*>(a[i].data) : &a[i];
            for (int j = 0; j < items; ++j) if (first[j].length) shadows.add(first[j], size_of(first[j].type));
        }
        shadows.allocate();
        const auto values = std::make_tuple(Parameter<std::tuple_element_t<I, All>>::from(a[I], shadows, self.names[I].c_str())...);
        return launch(grid, seed, [&] { kernel(std::get<I>(values)..., 0); });
    }
};

inline std::string run(const char* name, const Grid& grid, uint64_t seed, const EmulatedArgument* a, size_t count) {
    const auto found = kernels().find(name);
    if (found == kernels().end()) return "there is no such kernel";
    if (grid.x < 1 || grid.y < 1 || grid.z < 1 || grid.threads < 1 || grid.threads > 1024)
        return "a grid of " + std::to_string(grid.x) + " x " + std::to_string(grid.y) + " x " + std::to_string(grid.z) + " blocks of " + std::to_string(grid.threads) + " threads";
    return found->second.run(found->second, grid, seed, a, count);
}

}  // namespace emulator
